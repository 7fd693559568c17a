#include "logits.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace bench {

namespace {

constexpr size_t kBlock = 1024;
constexpr size_t kLanes = 16;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Independent lanes, since a compiler may not reorder one running maximum into vectors.
float block_max(const float * values, size_t count) {
    float lanes[kLanes];
    std::fill(lanes, lanes + kLanes, kLowest);
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        for (size_t j = 0; j < kLanes; ++j) {
            lanes[j] = values[i + j] > lanes[j] ? values[i + j] : lanes[j];
        }
    }
    for (; i < count; ++i) {
        lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
    }
    return *std::max_element(lanes, lanes + kLanes);
}

// e^x for x ≤ 0, within 2e-7 of it, in steps that a compiler turns into vectors: std::exp for each of a row's
// 49,152 logits took as long as a sixth of the model. Below e^-87 it is 0 but for a rest that no sum sees.
float exp_below_zero(float x) {
    constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    x = x > -87.0f ? x : -87.0f;
    const int32_t power = int32_t(x * log2_e - 0.5f);
    const float f = (x - float(power) * ln2_high) - float(power) * ln2_low;
    const float series =
        1.0f + f * (1.0f + f * (1.0f / 2 + f * (1.0f / 6 + f * (1.0f / 24 + f * (1.0f / 120 + f / 720)))));
    const int32_t bits = (power + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    return series * scale;
}

double block_sum(const float * values, size_t count, float best) {
    float lanes[kLanes] = {};
    int32_t no_numbers = 0;
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        for (size_t j = 0; j < kLanes; ++j) {
            lanes[j] += exp_below_zero(values[i + j] - best);
            no_numbers |= values[i + j] != values[i + j];
        }
    }
    for (; i < count; ++i) {
        lanes[0] += exp_below_zero(values[i] - best);
        no_numbers |= values[i] != values[i];
    }
    if (no_numbers) {
        throw NotFinite();
    }
    return std::accumulate(lanes, lanes + kLanes, 0.0);
}

}

llama_token argmax(const float * values, size_t count) {
    float best = kLowest;
    size_t start = count;
    for (size_t i = 0; i < count; i += kBlock) {
        const float largest = block_max(values + i, std::min(kBlock, count - i));
        if (largest > best) {
            best = largest;
            start = i;
        }
    }
    for (size_t i = start; i < count; ++i) {
        if (values[i] == best) {
            return llama_token(i);
        }
    }
    return -1;
}

RowSummary summarize(const float * logits, size_t count) {
    const llama_token best = argmax(logits, count);
    if (best < 0 || !std::isfinite(logits[best])) {
        throw NotFinite();
    }
    double sum = 0.0;
    for (size_t i = 0; i < count; i += kBlock) {
        sum += block_sum(logits + i, std::min(kBlock, count - i), logits[best]);
    }
    return {double(logits[best]) + std::log(sum), best};
}

double divergence(const float * reference, const float * logits, double log_sum, size_t count) {
    // With weights w = exp(reference) and Z their sum, the normalised reference is w / Z, so
    // KL = sum(w · (reference − log q)) / Z − log Z.
    double total = 0.0;
    double weighted = 0.0;
    for (size_t i = 0; i < count; ++i) {
        const double weight = std::exp(double(reference[i]));
        if (weight > 0.0) {
            total += weight;
            weighted += weight * (double(reference[i]) - (double(logits[i]) - log_sum));
        }
    }
    return weighted / total - std::log(total);
}

}
