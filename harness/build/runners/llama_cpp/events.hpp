// The events file and the progress lines of docs/runner-protocol.md.
#pragma once

#include "files.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace bench {

using Record = nlohmann::ordered_json;

// One line of JSON; invalid UTF-8 becomes U+FFFD instead of an exception.
std::string to_line(const Record & record);

Record or_null(const std::optional<uint64_t> & value);

class Events {
public:
    explicit Events(const std::string & path) : file_(path) {}
    void write(const char * event, const Record & fields);

private:
    LineFile file_;
};

// Prints "progress DONE TOTAL" at most twice a second.
class Progress {
public:
    explicit Progress(size_t total) : total_(total) {}
    void at(size_t done);

private:
    size_t total_;
    int64_t next_ns_ = 0;
};

}
