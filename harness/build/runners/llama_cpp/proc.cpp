#include "proc.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <csignal>
#include <sys/prctl.h>
#endif

namespace bench {

namespace {

using Bytes = std::optional<uint64_t>;

int64_t clock_ns(clockid_t clock) {
    timespec t{};
    clock_gettime(clock, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// The file's beginning as a C string; empty when it cannot be read.
template <size_t N>
void read_start(const char * path, char (&text)[N]) {
    size_t length = 0;
    const FileDescriptor file(open(path, O_RDONLY | O_CLOEXEC));
    while (file.get() >= 0 && length < N - 1) {
        const ssize_t n = read(file.get(), text + length, N - 1 - length);
        if (n <= 0) {
            break;
        }
        length += size_t(n);
    }
    text[length] = '\0';
}

// A line such as "VmRSS:     1234 kB".
Bytes status_bytes(const char * status, const char * key) {
    const size_t length = std::strlen(key);
    for (const char * line = status; line != nullptr && *line != '\0';) {
        if (std::strncmp(line, key, length) == 0 && line[length] == ':') {
            return std::strtoull(line + length + 1, nullptr, 10) * 1024;
        }
        line = std::strchr(line, '\n');
        line += line != nullptr ? 1 : 0;
    }
    return std::nullopt;
}

uint64_t ticks_ns(unsigned long long ticks) {
    static const uint64_t tick = 1'000'000'000 / uint64_t(sysconf(_SC_CLK_TCK));
    return ticks * tick;
}

MachineCounters read_machine() {
    char text[512];
    read_start("/proc/stat", text);
    unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
    const int n = std::sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
                              &system, &idle, &iowait, &irq, &softirq, &steal);
    MachineCounters counters;
    if (n >= 7) {
        counters.busy_ns = ticks_ns(user + nice + system + irq + softirq);
    }
    if (n >= 8) {
        counters.steal_ns = ticks_ns(steal);
    }
    return counters;
}

ProcessCounters read_process() {
    ProcessCounters counters{};
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    counters.cpu_ns               = uint64_t(clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    counters.major_faults         = uint64_t(usage.ru_majflt);
    counters.minor_faults         = uint64_t(usage.ru_minflt);
    counters.voluntary_switches   = uint64_t(usage.ru_nvcsw);
    counters.involuntary_switches = uint64_t(usage.ru_nivcsw);
    return counters;
}

}

Bytes difference(const Bytes & before, const Bytes & after) {
    return before && after ? Bytes(*after - *before) : std::nullopt;
}

int64_t now_ns() {
    return clock_ns(CLOCK_MONOTONIC);
}

void die_with_parent() {
#ifdef __linux__
    const char * wanted = std::getenv("BENCH_DIE_WITH_PARENT");
    if (wanted == nullptr || std::strcmp(wanted, "1") != 0) {
        return;
    }
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {  // it ended before the signal was asked for
        std::exit(1);
    }
#endif
}

MemoryStatus read_memory_status() {
    char text[8192];
    read_start("/proc/self/status", text);
    MemoryStatus status;
    status.hwm   = status_bytes(text, "VmHWM");
    status.rss   = status_bytes(text, "VmRSS");
    status.anon  = status_bytes(text, "RssAnon");
    status.file  = status_bytes(text, "RssFile");
    status.shmem = status_bytes(text, "RssShmem");
    status.swap  = status_bytes(text, "VmSwap");
    return status;
}

std::optional<uint64_t> read_storage_bytes() {
    char text[512];
    read_start("/proc/self/io", text);
    const char * key = "\nread_bytes: ";
    const char * at = std::strstr(text, key);
    return at == nullptr ? std::nullopt
                         : Bytes(std::strtoull(at + std::strlen(key), nullptr, 10));
}

Window::Window() : machine_before_(read_machine()), process_before_(read_process()) {}

void Window::stop() {
    process_after_ = read_process();
    machine_after_ = read_machine();
}

ProcessCounters Window::process() const {
    const ProcessCounters & a = process_before_;
    const ProcessCounters & b = process_after_;
    return {b.cpu_ns - a.cpu_ns, b.major_faults - a.major_faults, b.minor_faults - a.minor_faults,
            b.voluntary_switches - a.voluntary_switches,
            b.involuntary_switches - a.involuntary_switches};
}

MachineCounters Window::machine() const {
    return {difference(machine_before_.busy_ns, machine_after_.busy_ns),
            difference(machine_before_.steal_ns, machine_after_.steal_ns)};
}

}
