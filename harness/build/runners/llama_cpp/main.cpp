// bench-llama JOB.json EVENTS.jsonl: see docs/runner-protocol.md.
#include "events.hpp"
#include "fields.hpp"
#include "job.hpp"
#include "kinds.hpp"
#include "proc.hpp"

#include "llama.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <unistd.h>

namespace {

using namespace bench;

constexpr int kFailed = 1;
constexpr int kBadJob = 2;

Record greeting(const Job & job) {
    return {{"program", "bench-llama"},
            {"runner_sha256", RUNNER_SHA256},
            {"llama_version", llama_version()},
            {"kind", kind_of(job)},
            {"pid", getpid()}};
}

// One line on standard error, one event if the file can still be written.
int fail(int code, std::string message, Events * events) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::fprintf(stderr, "bench-llama: %s\n", message.c_str());
    try {
        if (events != nullptr) {
            events->write("error", {{"message", message}});
        }
    } catch (const std::exception & error) {
        std::fprintf(stderr, "bench-llama: %s\n", error.what());
    }
    return code;
}

void work(const Job & job, Events & events, int64_t start_ns) {
    events.write("hello", greeting(job));
    std::visit([&](const auto & one) { run(one, events); }, job);
    events.write("done", {{"wall_ns", now_ns() - start_ns}});
}

int run_job(const std::string & path, Events & events, int64_t start_ns) {
    try {
        const Job job = read_job(path);
        try {
            work(job, events, start_ns);
            return 0;
        } catch (const std::bad_alloc &) {
            return fail(kFailed, "out of memory", &events);
        } catch (const std::exception & error) {
            return fail(kFailed, error.what(), &events);
        }
    } catch (const std::exception & error) {
        return fail(kBadJob, error.what(), &events);
    }
}

}

int main(int argc, char ** argv) {
    const int64_t start_ns = now_ns();
    die_with_parent();
    // whoever reads the progress may go away; the events file is what counts
    std::signal(SIGPIPE, SIG_IGN);
    if (argc != 3) {
        return fail(kBadJob, "usage: bench-llama JOB.json EVENTS.jsonl", nullptr);
    }
    try {
        Events events(argv[2]);
        return run_job(argv[1], events, start_ns);
    } catch (const std::exception & error) {
        return fail(kFailed, error.what(), nullptr);
    }
}
