// Puts a request's context into the KV cache. What neighbouring requests share at their beginning, such as
// few-shot examples, is decoded once.
#pragma once

#include "engine.hpp"
#include "token_batch.hpp"

#include <vector>

namespace bench {

class ContextReader {
public:
    explicit ContextReader(Engine & engine) : engine_(engine), batch_(engine.batch_limit()) {}

    // Afterwards the cache holds just these tokens, and logits() are those of the last one.
    // The first `shared` tokens go through in calls of their own, whether or not they are there already:
    // so what comes out does not depend on the requests before. `shared` is less than all tokens.
    void read(const std::vector<llama_token> & tokens, size_t shared);
    // The cache holds just the first `shared` tokens.
    void keep_head(const std::vector<llama_token> & tokens, size_t shared);

    const float * logits() { return engine_.logits(int32_t(batch_.size()) - 1); }

private:
    void decode(const std::vector<llama_token> & tokens, size_t first, size_t end, bool last_wants_logits);

    Engine & engine_;
    TokenBatch batch_;
    std::vector<llama_token> head_;  // what the cache begins with
};

// Throws unless `shared` leaves at least one token to decode.
void check_shared(size_t shared, size_t tokens, const std::string & what);

}
