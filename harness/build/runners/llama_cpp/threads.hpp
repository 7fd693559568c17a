// The same work on several threads at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace bench {

// All arrive, then all leave within some nanoseconds of each other.
class SpinBarrier {
public:
    explicit SpinBarrier(int32_t threads) : missing_(threads) {}
    void wait() {
        missing_.fetch_sub(1);
        while (missing_.load() > 0) {
            std::this_thread::yield();
        }
    }

private:
    std::atomic<int32_t> missing_;
};

template <typename Share, typename Work>
void on_threads(std::vector<Share> & shares, const Work & work) {
    std::vector<std::thread> threads;
    for (Share & share : shares) {
        threads.emplace_back([&share, &work] { work(share); });
    }
    for (std::thread & thread : threads) {
        thread.join();
    }
}

}
