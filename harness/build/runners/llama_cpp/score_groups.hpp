// What a job of log-likelihoods asks for: requests with the same context form a group.
#pragma once

#include "cell_blocks.hpp"
#include "context_reader.hpp"
#include "engine.hpp"
#include "job.hpp"
#include "logits.hpp"
#include "token_batch.hpp"
#include "token_tree.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace bench {

// Sequences: 0 holds what is shared; then one a branch, one for padding, and the blocks of cells.
constexpr size_t kBranches = 47, kBlocks = 47;
constexpr llama_seq_id kPadding = llama_seq_id(kBranches) + 1;
constexpr uint32_t kSequences = uint32_t(kPadding) + 1 + uint32_t(kBlocks);

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

// Groups first … end − 1, which begin alike: what is left of them goes through the model in one call.
struct Pack {
    size_t first;
    size_t end;
    bool fits;  // else it is one group, too large for a call
};

// Several groups in one call: contexts and continuations side by side, none of which sees another.
class PackScorer {
public:
    PackScorer(Engine & engine, ContextReader & reader);

    // In the order of the groups. Follows from all groups of the file, answered or not.
    std::vector<Pack> packs(const std::vector<Group> & groups) const;
    // The scores of all items, group by group. Throws with the name of a request whose logits are not numbers.
    std::vector<Score> score(const std::vector<Group> & groups, const Pack & pack);

private:
    struct Load {
        size_t tokens = 0, wanted = 0, branches = 0, tiles = 0;
    };

    static Load load(const Group & group);
    std::vector<Score> score_together(const std::vector<Group> & groups, const Pack & pack);
    bool fits(const Load & load, size_t shared) const;
    void decode(const std::vector<Tree> & trees, size_t shared);
    void place(const Tree & tree, size_t shared, llama_seq_id free, size_t & spare);
    size_t pad(size_t spare);
    void read(const Tree & tree, const Group & group, size_t at, std::vector<Score> & scores);

    Engine & engine_;
    ContextReader & reader_;
    size_t vocabulary_;
    TokenBatch batch_;
    std::optional<CellBlocks> blocks_;  // none where a token cannot belong to several sequences
};

}
