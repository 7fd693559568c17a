#include "token_batch.hpp"

#include <numeric>
#include <stdexcept>

namespace bench {

TokenBatch::TokenBatch(size_t capacity)
    : tokens_(capacity), positions_(capacity), sequence_counts_(capacity, 1),
      sequences_(llama_max_parallel_sequences()), sequence_lists_(capacity), wants_logits_(capacity) {
    std::iota(sequences_.begin(), sequences_.end(), 0);
}

int32_t TokenBatch::add(llama_token token, llama_pos position, llama_seq_id sequence,
                        bool wants_logits, int32_t sequences) {
    if (size_ == tokens_.size()) {
        throw std::logic_error("batch is full");
    }
    tokens_[size_] = token;
    positions_[size_] = position;
    sequence_counts_[size_] = sequences;
    sequence_lists_[size_] = &sequences_.at(size_t(sequence));
    wants_logits_[size_] = wants_logits ? 1 : 0;
    return int32_t(size_++);
}

llama_batch TokenBatch::part(size_t first, size_t count) {
    return {int32_t(count),
            tokens_.data() + first,
            nullptr,
            positions_.data() + first,
            sequence_counts_.data() + first,
            sequence_lists_.data() + first,
            wants_logits_.data() + first};
}

}
