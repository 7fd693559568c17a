#include "logits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

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
    double sum = 0.0;
    for (size_t i = 0; best >= 0 && i < count; ++i) {
        sum += std::exp(logits[i] - logits[best]);
    }
    if (best < 0 || !std::isfinite(logits[best]) || !std::isfinite(sum)) {
        throw std::runtime_error("the model's logits are not finite");
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
