#include "engine.hpp"
#include "greedy_run.hpp"
#include "kinds.hpp"
#include "proc.hpp"

namespace bench {

namespace {

Record timing_of(const SpeedJob & job, const GreedyRun & run, const Window & window,
                 int64_t index) {
    const ProcessCounters process = window.process();
    const MachineCounters machine = window.machine();
    Record r;
    r["index"] = index;
    r["warmup"] = index < job.warmups;
    r["prefix_tokens"] = job.prefix.size();
    r["prompt_tokens"] = job.prompt.size();
    r["generated_tokens"] = run.token_ns().size();
    r["logits_ns"] = run.logits_ns();
    r["token_ns"] = run.token_ns();
    r["wall_ns"] = run.wall_ns();
    r["cpu_ns"] = process.cpu_ns;
    r["machine_busy_ns"] = or_null(machine.busy_ns);
    r["machine_steal_ns"] = or_null(machine.steal_ns);
    r["major_faults"] = process.major_faults;
    r["minor_faults"] = process.minor_faults;
    r["voluntary_switches"] = process.voluntary_switches;
    r["involuntary_switches"] = process.involuntary_switches;
    return r;
}

}

void run(const SpeedJob & job, Events & events) {
    Engine engine(job.engine, Rows::one);
    GreedyRun greedy(engine, job.prefix, job.prompt, job.generated);
    events.write("loaded", engine.loaded());

    const int64_t total = int64_t(job.warmups) + job.repetitions;
    Progress progress{size_t(total)};
    for (int64_t i = 0; i < total; ++i) {
        progress.at(size_t(i));
        greedy.prepare();
        Window window;
        greedy.run();
        window.stop();
        events.write("timing", timing_of(job, greedy, window, i));
    }
}

}
