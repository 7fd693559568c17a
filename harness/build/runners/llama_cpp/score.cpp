// Log-likelihood of continuations. Adjacent requests with the same context form a group: the
// context is decoded once and the continuations follow it as sequences of their own, several to
// a call.
#include "engine.hpp"
#include "kinds.hpp"
#include "logits.hpp"
#include "requests.hpp"
#include "token_batch.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

namespace {

struct Item {
    int64_t id;
    std::vector<llama_token> continuation;
    double logprob = 0.0;
    bool greedy = true;

    // The last token is only predicted, never decoded.
    size_t decoded() const { return continuation.size() - 1; }
};

struct Group {
    std::vector<llama_token> context;
    std::vector<Item> items;
};

using Items = std::vector<Item>::iterator;

// A run of items that are computed together; the cut depends on nothing but the group.
struct Pack {
    Items first, last;
};

std::vector<Group> read_groups(const ScoreJob & job, size_t & requests) {
    std::vector<Group> groups;
    read_requests(job.requests, [&](Fields & fields, int64_t id) {
        std::vector<llama_token> context = fields.filled_integers("context");
        Item item{id, fields.filled_integers("continuation")};
        if (context.size() + item.continuation.size() > size_t(job.engine.context)) {
            throw BadInput(request_name(id) + ": context and continuation have " +
                           std::to_string(context.size() + item.continuation.size()) +
                           " tokens, the job's context only " +
                           std::to_string(job.engine.context));
        }
        if (groups.empty() || groups.back().context != context) {
            groups.push_back({std::move(context), {}});
        }
        groups.back().items.push_back(std::move(item));
        ++requests;
    });
    return groups;
}

void check_group(const Group & group, int32_t vocabulary) {
    for (const Item & item : group.items) {
        check_tokens(group.context, vocabulary, request_name(item.id));
        check_tokens(item.continuation, vocabulary, request_name(item.id));
    }
}

class Scorer {
public:
    Scorer(Engine & engine, int32_t context)
        : engine_(engine), context_(size_t(context)), vocabulary_(size_t(engine.vocabulary())),
          batch_(std::max(engine.batch_limit(), engine.rows_limit())) {}

    std::vector<Pack> packs_of(Group & group) const;
    // Leaves the context in sequence 0 and scores every item's first token.
    void start(Group & group);
    void finish(const Pack & pack, size_t context_tokens);

private:
    size_t room(size_t context_tokens) const;
    void decode_context(const std::vector<llama_token> & tokens);
    void finish_alone(Item & item, size_t context_tokens);
    void finish_together(const Pack & pack, size_t context_tokens);
    void add_token(Item & item, size_t index, const RowSummary & summary, const float * logits);
    void read_rows(Item & item, size_t first, size_t count, int32_t row);

    Engine & engine_;
    size_t context_;
    size_t vocabulary_;
    TokenBatch batch_;
};

// How many continuation tokens one call may take.
size_t Scorer::room(size_t context_tokens) const {
    return std::min({engine_.rows_limit(), engine_.batch_limit(), context_ - context_tokens});
}

std::vector<Pack> Scorer::packs_of(Group & group) const {
    const size_t room = this->room(group.context.size());
    const size_t most = size_t(engine_.sequences_limit() - 1);
    std::vector<Pack> packs;
    size_t used = 0;
    for (Items item = group.items.begin(); item != group.items.end(); ++item) {
        const bool fits = !packs.empty() && used + item->decoded() <= room &&
                          size_t(item - packs.back().first) < most;
        if (!fits) {
            packs.push_back({item, item});
            used = 0;
        }
        packs.back().last = item + 1;
        used += item->decoded();
    }
    return packs;
}

void Scorer::decode_context(const std::vector<llama_token> & tokens) {
    for (size_t i = 0; i < tokens.size();) {
        batch_.clear();
        while (i < tokens.size() && batch_.size() < engine_.batch_limit()) {
            batch_.add(tokens[i], llama_pos(i), 0, i + 1 == tokens.size());
            ++i;
        }
        engine_.decode(batch_.all());
    }
}

void Scorer::start(Group & group) {
    engine_.clear_memory();
    decode_context(group.context);
    const float * logits = engine_.logits(int32_t(batch_.size()) - 1);
    const RowSummary summary = summarize(logits, vocabulary_);
    for (Item & item : group.items) {
        item.logprob = 0.0;
        item.greedy = true;
        add_token(item, 0, summary, logits);
    }
}

void Scorer::add_token(Item & item, size_t index, const RowSummary & summary,
                       const float * logits) {
    const llama_token token = item.continuation[index];
    item.logprob += double(logits[token]) - summary.log_sum;
    item.greedy = item.greedy && token == summary.best;
}

// Rows of continuation tokens first … first + count - 1; each predicts the token after it.
void Scorer::read_rows(Item & item, size_t first, size_t count, int32_t row) {
    for (size_t i = 0; i < count; ++i) {
        const float * logits = engine_.logits(row + int32_t(i));
        add_token(item, first + i + 1, summarize(logits, vocabulary_), logits);
    }
}

void Scorer::finish(const Pack & pack, size_t context_tokens) {
    if (pack.last - pack.first == 1) {
        finish_alone(*pack.first, context_tokens);
    } else {
        finish_together(pack, context_tokens);
    }
}

void Scorer::finish_alone(Item & item, size_t context_tokens) {
    const size_t room = this->room(context_tokens);
    llama_memory_seq_cp(engine_.memory(), 0, 1, -1, -1);
    for (size_t first = 0, count; first < item.decoded(); first += count) {
        count = std::min(room, item.decoded() - first);
        batch_.clear();
        for (size_t i = first; i < first + count; ++i) {
            batch_.add(item.continuation[i], llama_pos(context_tokens + i), 1, true);
        }
        engine_.decode(batch_.all());
        read_rows(item, first, count, 0);
    }
    llama_memory_seq_rm(engine_.memory(), 1, -1, -1);
}

void Scorer::finish_together(const Pack & pack, size_t context_tokens) {
    batch_.clear();
    llama_seq_id sequence = 0;
    for (Items item = pack.first; item != pack.last; ++item) {
        llama_memory_seq_cp(engine_.memory(), 0, ++sequence, -1, -1);
        for (size_t i = 0; i < item->decoded(); ++i) {
            batch_.add(item->continuation[i], llama_pos(context_tokens + i), sequence, true);
        }
    }
    if (batch_.size() > 0) {
        engine_.decode(batch_.all());
    }
    int32_t row = 0;
    for (Items item = pack.first; item != pack.last; ++item) {
        read_rows(*item, 0, item->decoded(), row);
        row += int32_t(item->decoded());
    }
    for (; sequence > 0; --sequence) {
        llama_memory_seq_rm(engine_.memory(), sequence, -1, -1);
    }
}

void answer(const Item & item, Answers & answers, Tally & tally) {
    answers.write({{"id", item.id},
                   {"logprob", item.logprob},
                   {"greedy", item.greedy},
                   {"tokens", item.continuation.size()}});
    tally.answer(item.continuation.size());
}

// A pack is computed whole or, when all of its answers are there, not at all, so that what was
// skipped changes no answer.
void score_group(Scorer & scorer, Group & group, Answers & answers, Tally & tally) {
    const auto answered = [&](const Item & item) { return answers.has(item.id); };
    bool started = false;
    for (const Pack & pack : scorer.packs_of(group)) {
        if (std::all_of(pack.first, pack.last, answered)) {
            std::for_each(pack.first, pack.last, [&](const Item &) { tally.skip(); });
            continue;
        }
        if (!started) {
            scorer.start(group);
            started = true;
        }
        scorer.finish(pack, group.context.size());
        for (Items item = pack.first; item != pack.last; ++item) {
            if (answered(*item)) {
                tally.skip();
            } else {
                answer(*item, answers, tally);
            }
        }
    }
}

}

void run_scoring(const ScoreJob & job, Events & events) {
    size_t requests = 0;
    std::vector<Group> groups = read_groups(job, requests);
    Answers answers(job.answers);
    Engine engine(job.engine, Shape::many_sequences);
    for (const Group & group : groups) {
        check_group(group, engine.vocabulary());
    }
    events.write("loaded", engine.loaded());

    Scorer scorer(engine, job.engine.context);
    Tally tally(requests);
    for (Group & group : groups) {
        score_group(scorer, group, answers, tally);
    }
    tally.write(events);
}

void run(const ScoreJob & job, Events & events) {
    if (job.reference) {
        run_distance(job, events);
    } else {
        run_scoring(job, events);
    }
}

}
