// Clocks, counters and /proc readings. What cannot be seen is nullopt.
#pragma once

#include "events.hpp"

#include <cstdint>
#include <optional>

namespace bench {

int64_t now_ns();  // monotonic

// With BENCH_DIE_WITH_PARENT=1: killed when the thread that started us ends.
void die_with_parent();

struct MemoryStatus {
    std::optional<uint64_t> hwm, rss, anon, file, shmem, swap;
};

// /proc/self/status, without allocating.
MemoryStatus read_memory_status();

// What the kernel fetched from storage for this process, from its start on; none where it does not say.
std::optional<uint64_t> read_storage_bytes();

// None where either was not seen.
std::optional<uint64_t> difference(const std::optional<uint64_t> & before,
                                   const std::optional<uint64_t> & after);

struct ProcessCounters {
    uint64_t cpu_ns;
    uint64_t major_faults, minor_faults;
    uint64_t voluntary_switches, involuntary_switches;
};

struct MachineCounters {
    std::optional<uint64_t> busy_ns, steal_ns;
};

// What this process and the machine did between construction and stop(). Allocates nothing;
// the process's own counters are read closest to the window.
class Window {
public:
    Window();
    void stop();

    ProcessCounters process() const;
    MachineCounters machine() const;

private:
    MachineCounters machine_before_, machine_after_;
    ProcessCounters process_before_, process_after_{};
};

}
