// Log-likelihoods of one context whose continuations do not fit a call together with it.
#pragma once

#include "context_reader.hpp"
#include "score_groups.hpp"
#include "token_batch.hpp"

#include <vector>

namespace bench {

// Items of one context that go through the model in one call.
struct Part {
    size_t first;
    size_t end;
};

// One group in calls of its own: the context first, then its continuations, several a call.
class SingleScorer {
public:
    SingleScorer(Engine & engine, ContextReader & reader);

    // Which continuations go together follows from the group alone, not from what is answered already.
    std::vector<Part> parts(const Group & group) const;
    // Decodes the context and keeps its last row, which predicts every first token.
    void start(const Group & group);
    std::vector<Score> score(const Part & part);

private:
    void score_branches(const Part & part, std::vector<Score> & scores);
    void score_long(const Item & item, Score & score);

    Engine & engine_;
    ContextReader & reader_;
    size_t vocabulary_;
    size_t rows_per_call_;
    TokenBatch batch_;
    const Group * group_ = nullptr;
    std::vector<float> first_row_;
    RowSummary first_summary_{};
};

}
