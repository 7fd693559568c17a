// Log-likelihoods of several contexts at once, each computed as if it were alone.
#pragma once

#include "cell_blocks.hpp"
#include "context_reader.hpp"
#include "score_groups.hpp"
#include "token_batch.hpp"
#include "token_tree.hpp"

#include <optional>
#include <vector>

namespace bench {

// Sequences: 0 holds what is shared; then one a branch, one for padding, and the blocks of cells.
constexpr size_t kBranches = 47, kBlocks = 47;
constexpr llama_seq_id kPadding = llama_seq_id(kBranches) + 1;
constexpr uint32_t kSequences = uint32_t(kPadding) + 1 + uint32_t(kBlocks);

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
