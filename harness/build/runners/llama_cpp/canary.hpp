// A fixed piece of work beside every timed window: whether the machine is as fast as it was.
#pragma once

#include <cstdint>
#include <vector>

namespace bench {

struct CanaryReading {
    int64_t compute_ns;  // int8 dot products in the innermost cache
    int64_t read_ns;     // one buffer that no cache holds whole
};

class Canary {
public:
    explicit Canary(int32_t threads);

    // Some 50 ms on as many threads as the model uses. Throws if it computed wrongly.
    CanaryReading sing();

    // Share of time lost against the fastest reading so far, this one included; 0 for the first.
    double loss(const CanaryReading & reading) const;

private:
    struct Bird {
        std::vector<int8_t> a, b;
        std::vector<uint64_t> words;
        int64_t expected = 0;
        uint64_t expected_sum = 0;
        bool right = true;
        int64_t start_ns = 0, middle_ns = 0, end_ns = 0;
    };

    static void hatch(Bird & bird);
    static int64_t dot(const Bird & bird);

    std::vector<Bird> birds_;
    CanaryReading best_{INT64_MAX, INT64_MAX};
};

}
