#include "context_reader.hpp"

#include "fields.hpp"

#include <algorithm>

namespace bench {

void check_shared(size_t shared, size_t tokens, const std::string & what) {
    if (shared >= tokens) {
        throw BadInput(what + ": shares " + std::to_string(shared) + " of its " +
                       std::to_string(tokens) + " tokens; the last one cannot be shared");
    }
}

void ContextReader::decode(const std::vector<llama_token> & tokens, size_t first, size_t end,
                           bool last_wants_logits) {
    for (size_t i = first; i < end;) {
        batch_.clear();
        while (i < end && batch_.size() < engine_.batch_limit()) {
            batch_.add(tokens[i], llama_pos(i), 0, last_wants_logits && i + 1 == end);
            ++i;
        }
        engine_.decode(batch_.all());
    }
}

// A recurrent memory cannot be cut back: there the head is read again.
void ContextReader::keep_head(const std::vector<llama_token> & tokens, size_t shared) {
    const bool there = shared > 0 && head_.size() == shared &&
                       std::equal(head_.begin(), head_.end(), tokens.begin());
    if (there && llama_memory_seq_rm(engine_.memory(), 0, llama_pos(shared), -1)) {
        return;
    }
    engine_.clear_memory();
    head_.assign(tokens.begin(), tokens.begin() + long(shared));
    decode(tokens, 0, shared, false);
}

void ContextReader::read(const std::vector<llama_token> & tokens, size_t shared) {
    keep_head(tokens, shared);
    decode(tokens, shared, tokens.size(), true);
}

}
