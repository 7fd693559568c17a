#include "canary.hpp"
#include "engine.hpp"
#include "greedy_run.hpp"
#include "kinds.hpp"
#include "placement.hpp"
#include "proc.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

namespace bench {

namespace {

// A machine that lost more than this on the same work was slower, whatever its sensors say.
constexpr double kMostLoss = 0.03;

using Reading = std::optional<CanaryReading>;

Record canary_of(const Reading & reading) {
    if (!reading) {
        return nullptr;
    }
    return {{"compute_ns", reading->compute_ns}, {"read_ns", reading->read_ns}};
}

Record timing_of(const GreedyRun & run, const Window & window, const SpeedJob & job) {
    const ProcessCounters process = window.process();
    const MachineCounters machine = window.machine();
    Record r;
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

// Timed windows, each between two canaries.
class Windows {
public:
    Windows(const SpeedJob & job, Events & events)
        : job_(job), events_(events), engine_(job.engine, Rows::one),
          greedy_(engine_, job.prefix, job.prompt, job.generated) {
        events_.write("loaded", engine_.loaded());
        if (job.canary) {
            canary_ = std::make_unique<Canary>(
                std::max(job.engine.threads, job.engine.threads_batch));
        }
    }

    void run() {
        const int64_t total = int64_t(job_.warmups) + job_.repetitions;
        Progress progress{size_t(total)};
        for (int64_t i = 0; i < total; ++i) {
            progress.at(size_t(i));
            int32_t left = i < job_.warmups ? 0 : job_.discards;
            while (!once(i, left > 0)) {
                --left;
            }
        }
    }

private:
    Reading sing(bool warmup) {
        if (!canary_ || warmup) {
            return std::nullopt;
        }
        engine_.rest();
        const CanaryReading reading = canary_->sing();
        engine_.wake();
        return reading;
    }

    // How long the program slept, all its threads with it, so that the next window starts from idle.
    int64_t sleep() {
        if (job_.idle_ms == 0) {
            return 0;
        }
        engine_.rest();
        const int64_t start = now_ns();
        std::this_thread::sleep_for(std::chrono::milliseconds(job_.idle_ms));
        const int64_t slept = now_ns() - start;
        engine_.wake();
        return slept;
    }

    // False where the window was discarded and is to be repeated.
    bool once(int64_t index, bool may_discard) {
        const bool warmup = index < job_.warmups;
        // what was sung after the last window was sung just before this one
        const bool fresh = last_ && canary_->loss(*last_) <= kMostLoss;  // a blip is sung again
        const Reading before = fresh ? last_ : sing(warmup);
        if (before && job_.idle_ms == 0) {
            greedy_.settle();
        }
        greedy_.prepare();
        const int64_t idle_ns = warmup ? 0 : sleep();
        placement_.before();
        Window window;
        greedy_.run();
        window.stop();
        placement_.after();
        const Reading after = last_ = sing(warmup);
        const bool slow = before && std::max(canary_->loss(*before), canary_->loss(*after)) > kMostLoss;
        const bool discarded = slow && may_discard;

        Record r{{"index", index}, {"warmup", warmup}, {"discarded", discarded}};
        r.update(timing_of(greedy_, window, job_));
        r["idle_ns"] = idle_ns;
        r["threads"] = placement_.threads(greedy_.wall_ns());
        r["canary_before"] = canary_of(before);
        r["canary_after"] = canary_of(after);
        events_.write("timing", r);
        return !discarded;
    }

    const SpeedJob & job_;
    Events & events_;
    Engine engine_;
    GreedyRun greedy_;
    Placement placement_;  // after the engine, whose threads it sees
    std::unique_ptr<Canary> canary_;
    Reading last_;
};

}

void run(const SpeedJob & job, Events & events) {
    Windows(job, events).run();
}

}
