// What a job of log-likelihoods asks for: requests with the same context form a group.
#pragma once

#include "engine.hpp"
#include "job.hpp"
#include "logits.hpp"

#include <cstdint>
#include <vector>

namespace bench {

struct Item {
    int64_t id;
    std::vector<llama_token> continuation;

    // The last token is only predicted, never decoded.
    size_t decoded() const { return continuation.size() - 1; }
};

struct Group {
    std::vector<llama_token> context;
    size_t shared;  // tokens of the context that neighbouring groups may begin with too
    std::vector<Item> items;

    size_t tail() const { return context.size() - shared; }
};

struct Score {
    double logprob = 0.0;
    bool greedy = true;

    void add(llama_token token, const float * logits, const RowSummary & row);
};

// Adjacent requests with the same context and the same shared beginning make a group. Counts the requests.
std::vector<Group> read_groups(const ScoreJob & job, size_t & requests);

void check_group(const Group & group, int32_t vocabulary);

}
