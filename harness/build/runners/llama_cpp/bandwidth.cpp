// Read bandwidth of memory: each thread sums its own share of one buffer.
#include "kinds.hpp"
#include "proc.hpp"
#include "threads.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <sys/mman.h>
#include <vector>

namespace bench {

namespace {

constexpr size_t kWordsPerStep = 32;

// As many independent sums as vector units can keep in flight.
uint64_t sum_words(const uint64_t * words, size_t count) {
    uint64_t sums[kWordsPerStep] = {};
    for (size_t i = 0; i < count; i += kWordsPerStep) {
        for (size_t j = 0; j < kWordsPerStep; ++j) {
            sums[j] += words[i + j];
        }
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) {
        total += sum;
    }
    return total;
}

class Buffer {
public:
    explicit Buffer(size_t bytes) : bytes_(bytes) {
        data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) {
            throw std::runtime_error("no memory for a buffer of " + std::to_string(bytes) +
                                     " bytes");
        }
    }
    Buffer(const Buffer &) = delete;
    Buffer & operator=(const Buffer &) = delete;
    ~Buffer() { munmap(data_, bytes_); }

    uint64_t * words() const { return static_cast<uint64_t *>(data_); }

private:
    size_t bytes_;
    void * data_;
};

struct Share {
    uint64_t * words;
    size_t count;
    uint64_t expected = 0;  // sum of what was filled in
    uint64_t found = 0;
    int64_t start_ns = 0;
    int64_t end_ns = 0;
};

void fill(Share & share) {
    uint64_t value = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < share.count; ++i) {
        value = value * 6364136223846793005 + 1442695040888963407;
        share.words[i] = value;
        share.expected += value;
    }
}

void read(Share & share, SpinBarrier & barrier) {
    barrier.wait();
    share.start_ns = now_ns();
    share.found = sum_words(share.words, share.count);
    share.end_ns = now_ns();
}

// Equal shares of whole steps; the rest of the buffer is not read.
std::vector<Share> split(const Buffer & buffer, const BandwidthJob & job) {
    const size_t words = size_t(job.buffer) / sizeof(uint64_t) / size_t(job.threads);
    const size_t count = words / kWordsPerStep * kWordsPerStep;
    std::vector<Share> shares;
    for (size_t i = 0; i < size_t(job.threads); ++i) {
        shares.push_back({buffer.words() + i * count, count});
    }
    return shares;
}

int64_t duration_ns(const std::vector<Share> & shares) {
    int64_t start = shares.front().start_ns;
    int64_t end = shares.front().end_ns;
    for (const Share & share : shares) {
        start = std::min(start, share.start_ns);
        end = std::max(end, share.end_ns);
    }
    return end - start;
}

void check(const std::vector<Share> & shares) {
    for (const Share & share : shares) {
        if (share.found != share.expected) {
            throw std::runtime_error("the buffer was read wrongly");
        }
    }
}

Record measure(std::vector<Share> & shares, const BandwidthJob & job, int64_t index) {
    SpinBarrier barrier(job.threads);
    Window window;
    on_threads(shares, [&barrier](Share & share) { read(share, barrier); });
    window.stop();
    check(shares);

    Record r;
    r["index"] = index;
    r["warmup"] = index < job.warmups;
    r["bytes"] = shares.size() * shares.front().count * sizeof(uint64_t);
    r["ns"] = duration_ns(shares);
    r["threads"] = job.threads;
    r["buffer_bytes"] = job.buffer;
    r["cpu_ns"] = window.process().cpu_ns;
    r["machine_busy_ns"] = or_null(window.machine().busy_ns);
    r["machine_steal_ns"] = or_null(window.machine().steal_ns);
    r["major_faults"] = window.process().major_faults;
    return r;
}

}

void run(const BandwidthJob & job, Events & events) {
    const Buffer buffer{size_t(job.buffer)};
    std::vector<Share> shares = split(buffer, job);
    on_threads(shares, fill);

    const int64_t total = int64_t(job.warmups) + job.repetitions;
    Progress progress{size_t(total)};
    for (int64_t i = 0; i < total; ++i) {
        progress.at(size_t(i));
        events.write("bandwidth", measure(shares, job, i));
    }
}

}
