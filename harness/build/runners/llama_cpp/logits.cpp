#include "logits.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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

// Vectors of GCC and Clang, of the size that every processor has: left to itself, GCC 12 computes the loop below
// number by number.
constexpr size_t kWidth = 4;
using Floats = float __attribute__((vector_size(kWidth * sizeof(float))));
using Integers = int32_t __attribute__((vector_size(kWidth * sizeof(int32_t))));

// e^x for x ≤ 0, within 2e-7 of it: std::exp for each of a row's 49,152 logits took as long as a sixth of the
// model. Below e^-87 it is 0 but for a rest that no sum sees.
inline Floats exp_below_zero(Floats x) {
    constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    x = x > -87.0f ? x : Floats{} - 87.0f;
    const Integers power = __builtin_convertvector(x * log2_e - 0.5f, Integers);
    const Floats whole = __builtin_convertvector(power, Floats);
    const Floats f = (x - whole * ln2_high) - whole * ln2_low;
    constexpr float c3 = 1.0f / 6, c4 = 1.0f / 24, c5 = 1.0f / 120, c6 = 1.0f / 720;
    const Floats series = 1.0f + f * (1.0f + f * (0.5f + f * (c3 + f * (c4 + f * (c5 + f * c6)))));
    const Integers bits = (power + 127) << 23;
    Floats scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    return series * scale;
}

// Adds e^(x − best) of as many values as a vector has.
inline void add(Floats & sums, Integers & no_numbers, const float * values, float best) {
    Floats x;
    std::memcpy(&x, values, sizeof(x));
    sums += exp_below_zero(x - best);
    no_numbers |= x != x;
}

double block_sum(const float * values, size_t count, float best) {
    Floats sums[2] = {};
    Integers no_numbers{};
    size_t i = 0;
    for (; i + 2 * kWidth <= count; i += 2 * kWidth) {
        add(sums[0], no_numbers, values + i, best);
        add(sums[1], no_numbers, values + i + kWidth, best);
    }
    for (; i < count; i += kWidth) {
        float rest[kWidth];
        std::fill(rest, rest + kWidth, kLowest);
        std::copy(values + i, values + std::min(count, i + kWidth), rest);
        add(sums[0], no_numbers, rest, best);
    }
    double total = 0.0;
    for (size_t lane = 0; lane < kWidth; ++lane) {
        if (no_numbers[lane]) {
            throw NotFinite();
        }
        total += double(sums[0][lane]) + double(sums[1][lane]);
    }
    return total;
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
