#include "greedy_run.hpp"

#include "logits.hpp"
#include "proc.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

namespace {

constexpr size_t kSettleTokens = 64;

void fill(TokenBatch & batch, const std::vector<llama_token> & tokens, size_t first_position,
          bool last_wants_logits) {
    for (size_t i = 0; i < tokens.size(); ++i) {
        const bool last = i + 1 == tokens.size();
        batch.add(tokens[i], llama_pos(first_position + i), 0, last && last_wants_logits);
    }
}

// Returns the index of the last token in the last part.
int32_t decode_in_parts(Engine & engine, TokenBatch & tokens) {
    size_t count = 0;
    for (size_t first = 0; first < tokens.size(); first += count) {
        count = std::min(engine.batch_limit(), tokens.size() - first);
        engine.decode(tokens.part(first, count));
    }
    return int32_t(count) - 1;
}

}

GreedyRun::GreedyRun(Engine & engine, const std::vector<llama_token> & prefix,
                     const std::vector<llama_token> & prompt, int32_t generated)
    : engine_(engine), prefix_(prefix.size()), prompt_(prompt.size()), next_(1),
      vocabulary_(size_t(engine.vocabulary())), token_ns_(size_t(generated)) {
    check_tokens(prefix, engine.vocabulary(), "prefix");
    check_tokens(prompt, engine.vocabulary(), "prompt");
    fill(prefix_, prefix, 0, false);
    fill(prompt_, prompt, prefix.size(), true);
}

// A deep prefix takes minutes on a slow device: it is decoded once. Models without attention
// cannot forget a part of what they read, and read it again.
bool GreedyRun::cut_back() {
    return prefix_ready_ &&
           llama_memory_seq_rm(engine_.memory(), 0, llama_pos(prefix_.size()), -1);
}

void GreedyRun::prepare() {
    if (cut_back()) {
        return;
    }
    engine_.clear_memory();
    decode_in_parts(engine_, prefix_);
    engine_.synchronize();
    prefix_ready_ = prefix_.size() > 0;
}

void GreedyRun::settle() {
    if (!cut_back()) {
        engine_.clear_memory();
        prefix_ready_ = false;
    }
    const size_t count = std::min({kSettleTokens, prompt_.size(), engine_.batch_limit()});
    engine_.decode(prompt_.part(0, count));
    engine_.synchronize();
}

const float * GreedyRun::prefill() {
    const int32_t last = decode_in_parts(engine_, prompt_);
    engine_.synchronize();
    return engine_.logits(last);
}

llama_token GreedyRun::choose(const float * logits) const {
    const llama_token token = argmax(logits, vocabulary_);
    if (token < 0) {
        throw std::runtime_error("the model's logits are not numbers");
    }
    return token;
}

void GreedyRun::run() {
    llama_pos position = llama_pos(prefix_.size() + prompt_.size());
    const int64_t start = now_ns();
    const float * logits = prefill();
    logits_ns_ = now_ns() - start;
    llama_token token = choose(logits);
    token_ns_[0] = now_ns() - start;
    for (size_t i = 1; i < token_ns_.size(); ++i) {
        next_.clear();
        next_.add(token, position++, 0, true);
        engine_.decode(next_.all());
        engine_.synchronize();
        token = choose(engine_.logits(0));
        token_ns_[i] = now_ns() - start;
    }
    wall_ns_ = token_ns_.back();
}

}
