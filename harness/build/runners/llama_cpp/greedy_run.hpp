// Prefill of a fixed prompt and greedy decoding of a fixed number of tokens, with times.
#pragma once

#include "engine.hpp"
#include "token_batch.hpp"

#include <cstdint>
#include <vector>

namespace bench {

class GreedyRun {
public:
    GreedyRun(Engine & engine, const std::vector<llama_token> & prefix,
              const std::vector<llama_token> & prompt, int32_t generated);

    // Leaves the prefix alone in the KV cache.
    void prepare();
    // Untimed work of the window's own shape, so that clocks and caches are as they are in the midst of work.
    void settle();
    // Allocates nothing. End-of-generation tokens do not stop it.
    void run();

    // Of the last run, from the submission of the prompt.
    int64_t logits_ns() const { return logits_ns_; }
    const std::vector<int64_t> & token_ns() const { return token_ns_; }
    int64_t wall_ns() const { return wall_ns_; }

private:
    // Whether just the prefix is left in the KV cache.
    bool cut_back();
    const float * prefill();
    llama_token choose(const float * logits) const;

    Engine & engine_;
    TokenBatch prefix_;
    TokenBatch prompt_;
    TokenBatch next_;
    bool prefix_ready_ = false;
    size_t vocabulary_;
    int64_t logits_ns_ = 0;
    int64_t wall_ns_ = 0;
    std::vector<int64_t> token_ns_;
};

}
