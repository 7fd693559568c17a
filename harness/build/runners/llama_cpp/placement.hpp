// Where the program's threads ran during a window, and how long they waited for a CPU.
#pragma once

#include "events.hpp"
#include "files.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace bench {

// Linux: reads /proc/self/task before and after a window, never inside. Allocates nothing meanwhile.
// Sees the threads that live when it is made; empty where /proc is not there.
class Placement {
public:
    Placement();
    void before();
    void after();

    // One object a thread that worked for at least a twentieth of the window.
    Record threads(int64_t wall_ns) const;

private:
    struct State {
        int cpu = -1;
        std::optional<uint64_t> run_ns, wait_ns;
    };
    struct Thread {
        FileDescriptor stat, schedstat;
        State before, after;
    };

    static State read(const Thread & thread);

    std::vector<Thread> threads_;
};

}
