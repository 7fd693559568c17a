// Prefill and decode again and again without a pause: what a device holds, and what energy that takes.
#include "energy.hpp"
#include "engine.hpp"
#include "greedy_run.hpp"
#include "kinds.hpp"
#include "proc.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace bench {

namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSliceMs = 60'000;  // counters are read so often that they go round once at most

// How long the program slept; 0 where it was not asked to.
int64_t rest(const SustainedJob & job, EnergyCounters & energy, Events & events, const Record & loaded) {
    const int64_t start = now_ns();
    events.write("loaded", loaded);
    if (job.idle_ms == 0) {
        return 0;
    }
    for (int64_t left = job.idle_ms; left > 0; left -= kSliceMs) {
        std::this_thread::sleep_for(std::chrono::milliseconds(std::min(left, kSliceMs)));
        energy.add_to_idle();
    }
    return now_ns() - start;
}

Record stretch_of(const GreedyRun & run, const Window & window, const SustainedJob & job) {
    Record r;
    r["prompt_tokens"] = job.prompt.size();
    r["generated_tokens"] = run.token_ns().size();
    r["prefill_ns"] = run.token_ns().front();
    r["decode_ns"] = run.token_ns().back() - run.token_ns().front();
    r["cpu_ns"] = window.process().cpu_ns;
    r["machine_busy_ns"] = or_null(window.machine().busy_ns);
    r["machine_steal_ns"] = or_null(window.machine().steal_ns);
    return r;
}

}

void run(const SustainedJob & job, Events & events) {
    Engine engine(job.engine, Rows::one);
    GreedyRun greedy(engine, {}, job.prompt, job.generated);
    engine.rest();
    EnergyCounters energy(job.powercap);
    const int64_t idle_ns = rest(job, energy, events, engine.loaded());
    const int64_t start = now_ns();
    engine.wake();

    Progress progress{size_t(job.work_ms)};
    int64_t passed = 0;
    for (int64_t index = 0; passed < job.work_ms * kMillisecond; ++index) {
        progress.at(size_t(passed / kMillisecond));
        greedy.prepare();
        Window window;
        const int64_t at = now_ns() - start;
        greedy.run();
        window.stop();
        energy.add_to_work();
        passed = now_ns() - start;
        Record r{{"index", index}, {"start_ns", at}};
        r.update(stretch_of(greedy, window, job));
        events.write("stretch", r);
    }

    Record r;
    r["idle_ns"] = idle_ns;
    r["work_ns"] = passed;
    r["domains"] = energy.domains();
    r["missing"] = energy.missing().empty() ? Record(nullptr) : Record(energy.missing());
    events.write("energy", r);
}

}
