// Log-likelihood of continuations. Adjacent requests with the same context form a group whose context is
// decoded once, and what adjacent groups share at their beginning is decoded once for them. The continuations
// of a group go through together, as sequences after the context: always the same ones, since another shape
// of batch rounds differently (measured with Q4_0: by up to 1.4 nats over 30 unlikely tokens).
#include "context_reader.hpp"
#include "engine.hpp"
#include "kinds.hpp"
#include "logits.hpp"
#include "requests.hpp"
#include "token_batch.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

namespace {

// Continuations of one context in one call; tasks of many choices take several calls.
constexpr uint32_t kPackedSequences = 16;

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
        if (context.size() + item.decoded() > size_t(job.engine.context)) {
            throw BadInput(request_name(id) + ": context and continuation have " +
                           std::to_string(context.size() + item.continuation.size()) +
                           " tokens; in the job's context fit " +
                           std::to_string(job.engine.context) + " and a last one");
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

// Continuations of one context that go through the model in one call: a range of the group's items.
struct Pack {
    size_t first;
    size_t end;
};

class Scorer {
public:
    explicit Scorer(Engine & engine)
        : engine_(engine), vocabulary_(size_t(engine.vocabulary())),
          rows_per_call_(std::min(engine.rows_limit(), engine.batch_limit())),
          reader_(engine), batch_(engine.batch_limit()), first_row_(vocabulary_) {}

    // Which continuations go together follows from the group alone, not from what is answered already.
    std::vector<Pack> packs(const Group & group) const;
    // Decodes the context and keeps its last row, which predicts every first token.
    void start(const Group & group);
    std::vector<Score> score(const Pack & pack);

private:
    void add(Score & score, llama_token token, const float * logits, const RowSummary & row) const;
    void score_together(const Pack & pack, std::vector<Score> & scores);
    void score_long(const Item & item, Score & score);

    Engine & engine_;
    size_t vocabulary_;
    size_t rows_per_call_;
    ContextReader reader_;
    TokenBatch batch_;
    const Group * group_ = nullptr;
    std::vector<float> first_row_;
    RowSummary first_summary_{};
};

std::vector<Pack> Scorer::packs(const Group & group) const {
    const size_t room = std::min(rows_per_call_, engine_.context_size() - group.context.size());
    std::vector<Pack> packs;
    size_t rows = 0, sequences = 0;
    for (size_t i = 0; i < group.items.size(); ++i) {
        const size_t decoded = group.items[i].decoded();
        const size_t sequence = decoded > 0 ? 1 : 0;  // one token alone needs no call
        if (packs.empty() || rows + decoded > room || sequences + sequence > kPackedSequences) {
            packs.push_back({i, i});
            rows = sequences = 0;
        }
        rows += decoded;
        sequences += sequence;
        packs.back().end = i + 1;
    }
    return packs;
}

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

std::vector<Score> Scorer::score(const Pack & pack) {
    std::vector<Score> scores(pack.end - pack.first);
    for (size_t i = pack.first; i < pack.end; ++i) {
        add(scores[i - pack.first], group_->items[i].continuation[0], first_row_.data(), first_summary_);
    }
    const Item & first = group_->items[pack.first];
    if (first.decoded() > rows_per_call_) {
        score_long(first, scores.front());
    } else {
        score_together(pack, scores);
    }
    return scores;
}

// Each continuation is a sequence of its own after the context, which all of them see.
void Scorer::score_together(const Pack & pack, std::vector<Score> & scores) {
    const llama_pos start = llama_pos(group_->context.size());
    batch_.clear();
    llama_seq_id sequence = 0;
    for (size_t i = pack.first; i < pack.end; ++i) {
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
    for (size_t i = pack.first; i < pack.end; ++i) {
        const Item & item = group_->items[i];
        for (size_t k = 0; k < item.decoded(); ++k, ++row) {
            const float * logits = engine_.logits(row);
            add(scores[i - pack.first], item.continuation[k + 1], logits, summarize(logits, vocabulary_));
        }
    }
    for (; sequence > 0; --sequence) {
        llama_memory_seq_rm(engine_.memory(), sequence, -1, -1);
    }
}

// More rows than one call may have, such as a window of a text.
void Scorer::score_long(const Item & item, Score & score) {
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
}

void score_group(Scorer & scorer, const Group & group, Answers & answers, Tally & tally) {
    bool started = false;
    for (const Pack & pack : scorer.packs(group)) {
        const auto answered = [&](size_t i) { return answers.has(group.items[i].id); };
        size_t left = 0;
        for (size_t i = pack.first; i < pack.end; ++i) {
            left += answered(i) ? 0 : 1;
        }
        std::vector<Score> scores;
        if (left > 0) {
            try {
                if (!started) {
                    scorer.start(group);
                    started = true;
                }
                scores = scorer.score(pack);
            } catch (const NotFinite & error) {
                throw std::runtime_error(request_name(group.items[pack.first].id) + ": " + error.what());
            }
        }
        for (size_t i = pack.first; i < pack.end; ++i) {
            if (answered(i)) {
                tally.skip();
                continue;
            }
            const Item & item = group.items[i];
            const Score & score = scores[i - pack.first];
            answers.write({{"id", item.id},
                           {"logprob", score.logprob},
                           {"greedy", score.greedy},
                           {"tokens", item.continuation.size()}});
            tally.answer(item.continuation.size());
        }
    }
}

}

void run_scoring(const ScoreJob & job, Events & events) {
    size_t requests = 0;
    const std::vector<Group> groups = read_groups(job, requests);
    Answers answers(job.answers);
    Engine engine(job.engine, Rows::many, 1 + kPackedSequences);
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
