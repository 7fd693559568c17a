#include "score_single.hpp"

#include <algorithm>

namespace bench {

namespace {

// Continuations of one context in one call; tasks of many choices take several calls.
constexpr uint32_t kPackedSequences = 16;

}

SingleScorer::SingleScorer(Engine & engine, ContextReader & reader)
    : engine_(engine), reader_(reader), vocabulary_(size_t(engine.vocabulary())),
      rows_per_call_(std::min(engine.rows_limit(), engine.batch_limit())), batch_(engine.batch_limit()),
      first_row_(vocabulary_) {}

std::vector<Part> SingleScorer::parts(const Group & group) const {
    const size_t room = std::min(rows_per_call_, engine_.context_size() - group.context.size());
    std::vector<Part> parts;
    size_t rows = 0, sequences = 0;
    for (size_t i = 0; i < group.items.size(); ++i) {
        const size_t decoded = group.items[i].decoded();
        const size_t sequence = decoded > 0 ? 1 : 0;  // one token alone needs no call
        if (parts.empty() || rows + decoded > room || sequences + sequence > kPackedSequences) {
            parts.push_back({i, i});
            rows = sequences = 0;
        }
        rows += decoded;
        sequences += sequence;
        parts.back().end = i + 1;
    }
    return parts;
}

void SingleScorer::start(const Group & group) {
    group_ = &group;
    reader_.read(group.context, group.shared);
    const float * logits = reader_.logits();
    std::copy(logits, logits + vocabulary_, first_row_.begin());
    first_summary_ = summarize(first_row_.data(), vocabulary_);
}

std::vector<Score> SingleScorer::score(const Part & part) {
    std::vector<Score> scores(part.end - part.first);
    for (size_t i = part.first; i < part.end; ++i) {
        scores[i - part.first].add(group_->items[i].continuation[0], first_row_.data(), first_summary_);
    }
    const Item & first = group_->items[part.first];
    if (first.decoded() > rows_per_call_) {
        score_long(first, scores.front());
    } else {
        score_branches(part, scores);
    }
    return scores;
}

// Each continuation is a sequence of its own after the context, which all of them see.
void SingleScorer::score_branches(const Part & part, std::vector<Score> & scores) {
    const llama_pos start = llama_pos(group_->context.size());
    batch_.clear();
    llama_seq_id sequence = 0;
    for (size_t i = part.first; i < part.end; ++i) {
        const Item & item = group_->items[i];
        if (item.decoded() == 0) {
            continue;
        }
        llama_memory_seq_cp(engine_.memory(), 0, ++sequence, 0, -1);
        for (size_t k = 0; k < item.decoded(); ++k) {
            batch_.add(item.continuation[k], start + llama_pos(k), sequence, true);
        }
    }
    if (batch_.size() == 0) {
        return;
    }
    engine_.decode(batch_.all());
    int32_t row = 0;
    for (size_t i = part.first; i < part.end; ++i) {
        const Item & item = group_->items[i];
        for (size_t k = 0; k < item.decoded(); ++k, ++row) {
            const float * logits = engine_.logits(row);
            scores[i - part.first].add(item.continuation[k + 1], logits, summarize(logits, vocabulary_));
        }
    }
    for (; sequence > 0; --sequence) {
        llama_memory_seq_rm(engine_.memory(), sequence, -1, -1);
    }
}

// More rows than one call may have, such as a window of a text.
void SingleScorer::score_long(const Item & item, Score & score) {
    for (size_t first = 0, count; first < item.decoded(); first += count) {
        count = std::min(rows_per_call_, item.decoded() - first);
        batch_.clear();
        for (size_t i = first; i < first + count; ++i) {
            batch_.add(item.continuation[i], llama_pos(group_->context.size() + i), 0, true);
        }
        engine_.decode(batch_.all());
        for (size_t i = 0; i < count; ++i) {
            const float * logits = engine_.logits(int32_t(i));
            score.add(item.continuation[first + i + 1], logits, summarize(logits, vocabulary_));
        }
    }
    // a recurrent memory cannot be cut back to the context
    if (!llama_memory_seq_rm(engine_.memory(), 0, llama_pos(group_->context.size()), -1)) {
        reader_.read(group_->context, group_->shared);
    }
}

}
