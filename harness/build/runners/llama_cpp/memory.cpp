#include "engine.hpp"
#include "greedy_run.hpp"
#include "kinds.hpp"
#include "proc.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace bench {

namespace {

using Bytes = std::optional<uint64_t>;

Bytes larger(const Bytes & a, const Bytes & b) {
    return a && b ? std::max(a, b) : (a ? a : b);
}

Bytes sum(const Bytes & a, const Bytes & b) {
    return a && b ? Bytes(*a + *b) : std::nullopt;
}

// Reads /proc/self/status every 10 ms on a thread of its own.
class PeakSampler {
public:
    PeakSampler() : thread_([this] { work(); }) {}
    PeakSampler(const PeakSampler &) = delete;
    PeakSampler & operator=(const PeakSampler &) = delete;
    ~PeakSampler() { stop(); }

    void stop() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_one();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    // After stop(): one more sample, and what was seen.
    MemoryStatus sample() {
        const MemoryStatus now = read_memory_status();
        ++samples;
        anon = larger(anon, now.anon);
        file = larger(file, now.file);
        swap = larger(swap, now.swap);
        rss_plus_swap = larger(rss_plus_swap, sum(now.rss, now.swap));
        return now;
    }

    uint64_t samples = 0;
    Bytes anon, file, swap, rss_plus_swap;

private:
    void work() {
        std::unique_lock<std::mutex> lock(mutex_);
        auto next = std::chrono::steady_clock::now();
        while (!stopping_) {
            sample();
            next += std::chrono::milliseconds(10);
            wake_.wait_until(lock, next, [this] { return stopping_; });
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread thread_;
};

}

void run(const MemoryJob & job, Events & events) {
    const MemoryStatus before = read_memory_status();
    PeakSampler sampler;
    Engine engine(job.engine, Rows::one);
    GreedyRun greedy(engine, {}, job.prompt, job.generated);
    const MemoryStatus after_load = read_memory_status();
    events.write("loaded", engine.loaded());

    greedy.run();
    sampler.stop();
    const MemoryStatus last = sampler.sample();

    Record r;
    r["vm_hwm_bytes"] = or_null(last.hwm);
    r["rss_bytes"] = or_null(last.rss);
    r["rss_anon_bytes"] = or_null(last.anon);
    r["rss_file_bytes"] = or_null(last.file);
    r["rss_shmem_bytes"] = or_null(last.shmem);
    r["swap_bytes"] = or_null(last.swap);
    r["peak_anon_bytes"] = or_null(sampler.anon);
    r["peak_file_bytes"] = or_null(sampler.file);
    r["peak_swap_bytes"] = or_null(sampler.swap);
    r["peak_rss_plus_swap_bytes"] = or_null(sampler.rss_plus_swap);
    r["samples"] = sampler.samples;
    r["rss_before_load_bytes"] = or_null(before.rss);
    r["rss_before_weights_bytes"] = or_null(engine.rss_before_weights());
    r["rss_after_load_bytes"] = or_null(after_load.rss);
    r["prompt_tokens"] = job.prompt.size();
    r["generated_tokens"] = greedy.token_ns().size();
    events.write("memory", r);
}

}
