#include "placement.hpp"

#include "proc.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace bench {

namespace {

constexpr int64_t kWorked = 20;  // a part of the window, as a divisor
constexpr int kFieldsToCpu = 37; // of "PID (NAME) S …", counted from the state: the 39th of all

template <size_t N>
bool read_again(int fd, char (&text)[N]) {
    const ssize_t n = fd < 0 ? -1 : pread(fd, text, N - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

int cpu_of(const char * stat) {
    const char * at = std::strrchr(stat, ')');  // a name may hold brackets and spaces
    for (int i = 0; at != nullptr && i < kFieldsToCpu; ++i) {
        at = std::strchr(at + 1, ' ');
    }
    return at == nullptr ? -1 : std::atoi(at + 1);
}

FileDescriptor open_of(const char * thread, const char * name) {
    const std::string path = std::string("/proc/self/task/") + thread + "/" + name;
    return FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

}

Placement::Placement() {
    DIR * folder = opendir("/proc/self/task");
    if (folder == nullptr) {
        return;
    }
    while (const dirent * entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            threads_.push_back({open_of(entry->d_name, "stat"), open_of(entry->d_name, "schedstat"),
                                {}, {}});
        }
    }
    closedir(folder);
}

Placement::State Placement::read(const Thread & thread) {
    State state;
    char text[1024];
    if (read_again(thread.stat.get(), text)) {
        state.cpu = cpu_of(text);
    }
    unsigned long long run, wait;
    if (read_again(thread.schedstat.get(), text) && std::sscanf(text, "%llu %llu", &run, &wait) == 2) {
        state.run_ns = run;
        state.wait_ns = wait;
    }
    return state;
}

void Placement::before() {
    for (Thread & thread : threads_) {
        thread.before = read(thread);
    }
}

void Placement::after() {
    for (Thread & thread : threads_) {
        thread.after = read(thread);
    }
}

Record Placement::threads(int64_t wall_ns) const {
    Record list = Record::array();
    for (const Thread & thread : threads_) {
        const State & a = thread.before;
        const State & b = thread.after;
        const auto wanted = [](const State & s) { return int64_t(*s.run_ns + *s.wait_ns); };
        const bool idle = a.run_ns && b.run_ns && (wanted(b) - wanted(a)) * kWorked < wall_ns;
        if (a.cpu < 0 || b.cpu < 0 || idle) {
            continue;
        }
        list.push_back({{"cpu_before", a.cpu},
                        {"cpu_after", b.cpu},
                        {"run_ns", or_null(difference(a.run_ns, b.run_ns))},
                        {"wait_ns", or_null(difference(a.wait_ns, b.wait_ns))}});
    }
    return list;
}

}
