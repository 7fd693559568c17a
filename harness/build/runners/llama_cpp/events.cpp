#include "events.hpp"

#include "proc.hpp"

#include <cstdio>

namespace bench {

namespace {
constexpr int64_t kProgressEveryNs = 500'000'000;
}

std::string to_line(const Record & record) {
    return record.dump(-1, ' ', false, Record::error_handler_t::replace);
}

Record or_null(const std::optional<uint64_t> & value) {
    return value ? Record(*value) : Record(nullptr);
}

void Events::write(const char * event, const Record & fields) {
    Record record = {{"event", event}};
    record.update(fields);
    file_.append(to_line(record));
}

void Progress::at(size_t done) {
    const int64_t now = now_ns();
    if (now < next_ns_) {
        return;
    }
    next_ns_ = now + kProgressEveryNs;
    std::printf("progress %zu %zu\n", done, total_);
    std::fflush(stdout);
}

}
