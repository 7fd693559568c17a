#include "canary.hpp"

#include "proc.hpp"
#include "threads.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

namespace {

constexpr size_t kDotBytes = 8 * 1024;           // two of them stay in the innermost cache
constexpr int kDots = 30'000;
constexpr size_t kReadBytes = size_t(96) << 20;  // of each thread

// Widened step by step, so that compilers find the vector units' integer products.
int32_t dot_once(const int8_t * a, const int8_t * b, size_t count) {
    int32_t sum = 0;
    for (size_t i = 0; i < count; ++i) {
        sum += int32_t(a[i]) * int32_t(b[i]);
    }
    return sum;
}

uint64_t sum_of(const std::vector<uint64_t> & words) {
    uint64_t sums[16] = {};
    for (size_t i = 0; i + 16 <= words.size(); i += 16) {
        for (size_t j = 0; j < 16; ++j) {
            sums[j] += words[i + j];
        }
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) {
        total += sum;
    }
    return total;
}

}

Canary::Canary(int32_t threads) : birds_(size_t(threads)) {
    for (Bird & bird : birds_) {  // here, where a lack of memory can be told
        bird.a.resize(kDotBytes);
        bird.b.resize(kDotBytes);
        bird.words.resize(kReadBytes / sizeof(uint64_t));
    }
    on_threads(birds_, hatch);
}

void Canary::hatch(Bird & bird) {
    for (size_t i = 0; i < kDotBytes; ++i) {
        bird.a[i] = int8_t(i * 37 % 255 - 127);
        bird.b[i] = int8_t(i * 91 % 255 - 127);
    }
    for (size_t i = 0; i < bird.words.size(); ++i) {
        bird.words[i] = i * 6364136223846793005;
    }
    bird.expected = dot(bird);
    bird.expected_sum = sum_of(bird.words);
}

// The buffer changes a little each time, or one product would do for all.
int64_t Canary::dot(const Bird & bird) {
    int64_t total = 0;
    const int8_t * a = bird.a.data();
    const int8_t * b = bird.b.data();
    for (int i = 0; i < kDots; ++i) {
        const size_t shift = size_t(i % 64);
        total += dot_once(a + shift, b, kDotBytes - 64);
    }
    return total;
}

CanaryReading Canary::sing() {
    SpinBarrier barrier{int32_t(birds_.size())};
    on_threads(birds_, [&barrier](Bird & bird) {
        barrier.wait();
        bird.start_ns = now_ns();
        const int64_t product = dot(bird);
        bird.middle_ns = now_ns();
        const uint64_t sum = sum_of(bird.words);
        bird.end_ns = now_ns();
        bird.right = product == bird.expected && sum == bird.expected_sum;
    });
    CanaryReading reading{0, 0};
    for (const Bird & bird : birds_) {
        if (!bird.right) {
            throw std::runtime_error("the canary computed wrongly: this machine's results are not to be trusted");
        }
        // the slowest thread is what a model waits for
        reading.compute_ns = std::max(reading.compute_ns, bird.middle_ns - bird.start_ns);
        reading.read_ns = std::max(reading.read_ns, bird.end_ns - bird.middle_ns);
    }
    best_.compute_ns = std::min(best_.compute_ns, reading.compute_ns);
    best_.read_ns = std::min(best_.read_ns, reading.read_ns);
    return reading;
}

double Canary::loss(const CanaryReading & reading) const {
    const double compute = double(reading.compute_ns) / double(best_.compute_ns);
    const double read = double(reading.read_ns) / double(best_.read_ns);
    return std::max(compute, read) - 1.0;
}

}
