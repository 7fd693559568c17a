// Log-likelihood of continuations. What adjacent contexts share at their beginning is decoded once for them;
// the rest of several contexts, each with its continuations, goes through the model in one call.
#include "kinds.hpp"
#include "requests.hpp"
#include "score_packs.hpp"
#include "score_single.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>

namespace bench {

namespace {

void score_rest(const std::vector<const Item *> & items, Answers & answers, Tally & tally,
                const std::function<std::vector<Score>()> & score) {
    const auto answered = [&](const Item * item) { return answers.has(item->id); };
    std::vector<Score> scores;
    if (!std::all_of(items.begin(), items.end(), answered)) {
        try {
            scores = score();
        } catch (const NotFinite & error) {
            throw std::runtime_error(request_name(items.front()->id) + ": " + error.what());
        }
    }
    for (size_t i = 0; i < items.size(); ++i) {
        if (answered(items[i])) {
            tally.skip();
            continue;
        }
        answers.write({{"id", items[i]->id},
                       {"logprob", scores[i].logprob},
                       {"greedy", scores[i].greedy},
                       {"tokens", items[i]->continuation.size()}});
        tally.answer(items[i]->continuation.size());
    }
}

void score_single(SingleScorer & scorer, const Group & group, Answers & answers, Tally & tally) {
    bool started = false;
    for (const Part & part : scorer.parts(group)) {
        std::vector<const Item *> items;
        for (size_t i = part.first; i < part.end; ++i) {
            items.push_back(&group.items[i]);
        }
        score_rest(items, answers, tally, [&] {
            if (!started) {
                scorer.start(group);
                started = true;
            }
            return scorer.score(part);
        });
    }
}

void score_pack(PackScorer & scorer, const std::vector<Group> & groups, const Pack & pack, Answers & answers,
                Tally & tally) {
    std::vector<const Item *> items;
    for (size_t i = pack.first; i < pack.end; ++i) {
        for (const Item & item : groups[i].items) {
            items.push_back(&item);
        }
    }
    score_rest(items, answers, tally, [&] { return scorer.score(groups, pack); });
}

}

void run_scoring(const ScoreJob & job, Events & events) {
    size_t requests = 0;
    const std::vector<Group> groups = read_groups(job, requests);
    Answers answers(job.answers);
    Engine engine(job.engine, Rows::many, kSequences);
    for (const Group & group : groups) {
        check_group(group, engine.vocabulary());
    }
    events.write("loaded", engine.loaded());

    ContextReader reader(engine);
    SingleScorer single(engine, reader);
    PackScorer packed(engine, reader);
    Tally tally(requests);
    for (const Pack & pack : packed.packs(groups)) {
        if (pack.fits) {
            score_pack(packed, groups, pack, answers, tally);
        } else {
            score_single(single, groups[pack.first], answers, tally);
        }
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
