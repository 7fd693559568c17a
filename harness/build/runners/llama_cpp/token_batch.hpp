// A llama_batch over arrays that are allocated once.
#pragma once

#include "llama.h"

#include <vector>

namespace bench {

class TokenBatch {
public:
    explicit TokenBatch(size_t capacity);
    TokenBatch(const TokenBatch &) = delete;
    TokenBatch & operator=(const TokenBatch &) = delete;

    void clear() { size_ = 0; }
    // Returns the token's index in the batch. It belongs to `sequences` sequences from the given one on.
    int32_t add(llama_token token, llama_pos position, llama_seq_id sequence, bool wants_logits,
                int32_t sequences = 1);
    size_t size() const { return size_; }

    llama_batch all() { return part(0, size_); }
    llama_batch part(size_t first, size_t count);

private:
    size_t size_ = 0;
    std::vector<llama_token> tokens_;
    std::vector<llama_pos> positions_;
    std::vector<int32_t> sequence_counts_;
    std::vector<llama_seq_id> sequences_;  // 0, 1, 2, …: the lists are stretches of it
    std::vector<llama_seq_id *> sequence_lists_;
    std::vector<int8_t> wants_logits_;
};

}
