// Arithmetic on one row of logits.
#pragma once

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace bench {

// Index of the first largest value, -1 when there is none (only NaN).
llama_token argmax(const float * values, size_t count);

struct RowSummary {
    double log_sum;  // log of the sum of exp(logit)
    llama_token best;
};

class NotFinite : public std::runtime_error {
public:
    NotFinite() : std::runtime_error("the model's logits are not numbers") {}
};

// Throws NotFinite.
RowSummary summarize(const float * logits, size_t count);

// KL(reference ‖ model) in nats. The reference's log-probabilities are normalised on the way.
double divergence(const float * reference, const float * logits, double log_sum, size_t count);

}
