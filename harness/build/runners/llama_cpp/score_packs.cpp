#include "score_packs.hpp"

#include "requests.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

namespace {

bool begin_alike(const Group & one, const Group & other) {
    return one.shared == other.shared &&
           std::equal(one.context.begin(), one.context.begin() + long(one.shared), other.context.begin());
}

// One row an item: what follows the shared beginning, without the last token, which is only predicted.
std::vector<Row> rows_of(const Group & group) {
    std::vector<Row> rows;
    for (const Item & item : group.items) {
        Row row{{group.context.begin() + long(group.shared), group.context.end()}, group.tail() - 1};
        row.tokens.insert(row.tokens.end(), item.continuation.begin(), item.continuation.end() - 1);
        rows.push_back(std::move(row));
    }
    return rows;
}

// ggml computes a rest of fewer rows, and attention for fewer tokens, by other sums.
constexpr size_t kRowsTogether = 16, kFewestTokens = 64;

size_t up_to(size_t count, size_t step) {
    return (count + step - 1) / step * step;
}

}

PackScorer::PackScorer(Engine & engine, ContextReader & reader)
    : engine_(engine), reader_(reader), vocabulary_(size_t(engine.vocabulary())), batch_(engine.batch_limit()) {
    if (engine.can_branch() && engine.call_limit() >= kFewestTokens && engine.context_size() >= kTile) {
        blocks_.emplace(engine, kPadding + 1, kBlocks);
    }
}

PackScorer::Load PackScorer::load(const Group & group) {
    const Tree tree = grow(rows_of(group));
    return {tree.nodes.size(), tree.wanted, size_t(tree.branches), tiles(tree.nodes.size())};
}

bool PackScorer::fits(const Load & load, size_t shared) const {
    const size_t tiles_of_head = tiles(shared), tiles_of_padding = tiles(kFewestTokens);
    return blocks_ && load.tokens + kRowsTogether <= engine_.call_limit() &&
           up_to(load.wanted, kRowsTogether) <= engine_.rows_limit() && load.branches <= kBranches &&
           1 + load.tiles + tiles_of_padding <= blocks_->limit() &&
           (tiles_of_head + load.tiles + tiles_of_padding) * kTile <= engine_.context_size();
}

std::vector<Pack> PackScorer::packs(const std::vector<Group> & groups) const {
    std::vector<Pack> packs;
    Load sum;
    for (size_t i = 0; i < groups.size(); ++i) {
        const Load own = load(groups[i]);
        const Load both{sum.tokens + own.tokens, sum.wanted + own.wanted, sum.branches + own.branches,
                        sum.tiles + own.tiles};
        if (!packs.empty() && packs.back().fits && begin_alike(groups[packs.back().first], groups[i]) &&
            fits(both, groups[i].shared)) {
            packs.back().end = i + 1;
            sum = both;
        } else {
            packs.push_back({i, i + 1, fits(own, groups[i].shared)});
            sum = own;
        }
    }
    return packs;
}

// Logits of `spare` more tokens are computed, of those that nobody asked for.
void PackScorer::place(const Tree & tree, size_t shared, llama_seq_id free, size_t & spare) {
    for (llama_seq_id s = free; s < free + tree.branches; ++s) {
        llama_memory_seq_cp(engine_.memory(), 0, s, 0, llama_pos(shared));
    }
    for (const Node & node : tree.nodes) {
        const bool asked = node.wanted || spare > 0;
        spare -= asked && !node.wanted ? 1 : 0;
        batch_.add(node.token, llama_pos(shared + node.depth), free + node.first_branch, asked, node.branches);
    }
}

// A token that several rows share is looked at once.
void PackScorer::read(const Tree & tree, const Group & group, size_t at, std::vector<Score> & scores) {
    std::vector<RowSummary> summaries(tree.nodes.size());
    for (size_t k = 0; k < tree.nodes.size(); ++k) {
        if (tree.nodes[k].wanted) {
            summaries[k] = summarize(engine_.logits(int32_t(at + k)), vocabulary_);
        }
    }
    for (size_t i = 0; i < group.items.size(); ++i) {
        const std::vector<llama_token> & continuation = group.items[i].continuation;
        Score score;
        for (size_t k = 0; k < continuation.size(); ++k) {
            const size_t node = size_t(tree.paths[i][group.tail() - 1 + k]);
            score.add(continuation[k], engine_.logits(int32_t(at + node)), summaries[node]);
        }
        scores.push_back(score);
    }
}

// Tokens that belong to no question.
size_t PackScorer::pad(size_t spare) {
    const size_t tokens = std::max(spare, kFewestTokens - std::min(kFewestTokens, batch_.size()));
    for (size_t i = 0; i < tokens; ++i) {
        batch_.add(0, llama_pos(i), kPadding, i < spare);
    }
    return tokens;
}

void PackScorer::decode(const std::vector<Tree> & trees, size_t shared) {
    size_t wanted = 0;
    std::vector<size_t> runs;
    for (const Tree & tree : trees) {
        wanted += tree.wanted;
        runs.push_back(tree.nodes.size());
    }
    size_t spare = up_to(wanted, kRowsTogether) - wanted;
    llama_seq_id free = 1;
    batch_.clear();
    for (const Tree & tree : trees) {
        place(tree, shared, free, spare);
        free += tree.branches;
    }
    runs.push_back(pad(spare));
    blocks_->reserve(shared, runs);
    engine_.decode(batch_.all());
    blocks_->release();
    for (llama_seq_id s = 1; s <= kPadding; ++s) {
        llama_memory_seq_rm(engine_.memory(), s, -1, -1);
    }
}

std::vector<Score> PackScorer::score_together(const std::vector<Group> & groups, const Pack & pack) {
    const Group & front = groups[pack.first];
    std::vector<Tree> trees;
    for (size_t i = pack.first; i < pack.end; ++i) {
        trees.push_back(grow(rows_of(groups[i])));
    }
    reader_.keep_head(front.context, front.shared);
    decode(trees, front.shared);
    std::vector<Score> scores;
    size_t at = 0;
    for (size_t i = 0; i < trees.size(); ++i) {
        read(trees[i], groups[pack.first + i], at, scores);
        at += trees[i].nodes.size();
    }
    return scores;
}

// What is no number in one question's cells spoils its neighbours' sums: asked alone, the question shows itself.
std::vector<Score> PackScorer::score(const std::vector<Group> & groups, const Pack & pack) {
    try {
        return score_together(groups, pack);
    } catch (const NotFinite & error) {
        if (pack.end - pack.first == 1) {
            throw std::runtime_error(request_name(groups[pack.first].items.front().id) + ": " + error.what());
        }
    }
    std::vector<Score> scores;
    for (size_t i = pack.first; i < pack.end; ++i) {
        const std::vector<Score> own = score(groups, {i, i + 1, true});
        scores.insert(scores.end(), own.begin(), own.end());
    }
    return scores;
}

}
