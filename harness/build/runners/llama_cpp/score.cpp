// Log-likelihood of continuations. Adjacent requests with the same context form a group whose
// context is decoded once, and what adjacent groups share at their beginning is decoded once for them. Each continuation is then decoded in calls of its own: another shape
// of batch rounds differently, so in one call with others its sum would depend on them (measured
// with Q4_0: by up to 1.4 nats over 30 unlikely tokens).
#include "context_reader.hpp"
#include "engine.hpp"
#include "kinds.hpp"
#include "logits.hpp"
#include "requests.hpp"
#include "token_batch.hpp"

#include <algorithm>

namespace bench {

namespace {

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
};

struct Score {
    double logprob = 0.0;
    bool greedy = true;
};

std::vector<Group> read_groups(const ScoreJob & job, size_t & requests) {
    std::vector<Group> groups;
    read_requests(job.requests, [&](Fields & fields, int64_t id) {
        std::vector<llama_token> context = fields.filled_integers("context");
        const size_t shared = size_t(fields.integer("shared", 0, INT32_MAX));
        check_shared(shared, context.size(), request_name(id));
        Item item{id, fields.filled_integers("continuation")};
        const size_t tokens = context.size() + item.continuation.size();
        if (tokens > size_t(job.engine.context)) {
            throw BadInput(request_name(id) + ": context and continuation have " +
                           std::to_string(tokens) + " tokens, the job's context only " +
                           std::to_string(job.engine.context));
        }
        if (groups.empty() || groups.back().context != context ||
            groups.back().shared != shared) {
            groups.push_back({std::move(context), shared, {}});
        }
        groups.back().items.push_back(std::move(item));
        ++requests;
    });
    return groups;
}

void check_group(const Group & group, int32_t vocabulary) {
    check_tokens(group.context, vocabulary, request_name(group.items.front().id));
    for (const Item & item : group.items) {
        check_tokens(item.continuation, vocabulary, request_name(item.id));
    }
}

class Scorer {
public:
    explicit Scorer(Engine & engine)
        : engine_(engine), vocabulary_(size_t(engine.vocabulary())),
          rows_per_call_(std::min(engine.rows_limit(), engine.batch_limit())),
          reader_(engine), batch_(engine.batch_limit()), first_row_(vocabulary_) {}

    // Decodes the context and keeps its last row, which predicts every first token.
    void start(const Group & group);
    Score score(const Item & item);

private:
    void add(Score & score, llama_token token, const float * logits, const RowSummary & row) const;

    Engine & engine_;
    size_t vocabulary_;
    size_t rows_per_call_;
    ContextReader reader_;
    TokenBatch batch_;
    const Group * group_ = nullptr;
    std::vector<float> first_row_;
    RowSummary first_summary_{};
};

void Scorer::start(const Group & group) {
    group_ = &group;
    reader_.read(group.context, group.shared);
    const float * logits = reader_.logits();
    std::copy(logits, logits + vocabulary_, first_row_.begin());
    first_summary_ = summarize(first_row_.data(), vocabulary_);
}

void Scorer::add(Score & score, llama_token token, const float * logits,
                 const RowSummary & row) const {
    score.logprob += double(logits[token]) - row.log_sum;
    score.greedy = score.greedy && token == row.best;
}

Score Scorer::score(const Item & item) {
    Score score;
    add(score, item.continuation[0], first_row_.data(), first_summary_);
    for (size_t first = 0, count; first < item.decoded(); first += count) {
        count = std::min(rows_per_call_, item.decoded() - first);
        batch_.clear();
        for (size_t i = first; i < first + count; ++i) {
            batch_.add(item.continuation[i], llama_pos(group_->context.size() + i), 0, true);
        }
        engine_.decode(batch_.all());
        for (size_t i = 0; i < count; ++i) {
            const float * logits = engine_.logits(int32_t(i));
            add(score, item.continuation[first + i + 1], logits, summarize(logits, vocabulary_));
        }
    }
    // a recurrent memory cannot be cut back to the context
    if (!llama_memory_seq_rm(engine_.memory(), 0, llama_pos(group_->context.size()), -1)) {
        reader_.read(group_->context, group_->shared);
    }
    return score;
}

void score_group(Scorer & scorer, const Group & group, Answers & answers, Tally & tally) {
    bool started = false;
    for (const Item & item : group.items) {
        if (answers.has(item.id)) {
            tally.skip();
            continue;
        }
        if (!started) {
            scorer.start(group);
            started = true;
        }
        const Score score = scorer.score(item);
        answers.write({{"id", item.id},
                       {"logprob", score.logprob},
                       {"greedy", score.greedy},
                       {"tokens", item.continuation.size()}});
        tally.answer(item.continuation.size());
    }
}

}

void run_scoring(const ScoreJob & job, Events & events) {
    size_t requests = 0;
    const std::vector<Group> groups = read_groups(job, requests);
    Answers answers(job.answers);
    Engine engine(job.engine, Rows::many);
    for (const Group & group : groups) {
        check_group(group, engine.vocabulary());
    }
    events.write("loaded", engine.loaded());

    Scorer scorer(engine);
    Tally tally(requests);
    for (const Group & group : groups) {
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
