// Request files (one JSON object a line) and the answers file with its way to resume.
#pragma once

#include "events.hpp"
#include "fields.hpp"
#include "files.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

namespace bench {

// Calls `take` with each line's object; its errors name the file and the line.
void read_lines(const std::string & path, const std::function<void(Fields &)> & take);

// The same for requests: passes the id, which must be unique in the file.
void read_requests(const std::string & path,
                   const std::function<void(Fields &, int64_t id)> & take);

// "request 12"
std::string request_name(int64_t id);

class Answers {
public:
    explicit Answers(const std::string & path);

    bool has(int64_t id) const { return earlier_.count(id) > 0; }
    void write(const Record & answer) { file_.append(to_line(answer)); }

private:
    LineFile file_;
    std::unordered_set<int64_t> earlier_;
};

// Counts a job's requests, shows progress and gives the scored event.
class Tally {
public:
    explicit Tally(size_t requests) : requests_(requests), progress_(requests) {}

    void skip() { ++skipped_; }
    void answer(size_t tokens);
    void write(Events & events) const;

private:
    size_t requests_;
    size_t answered_ = 0;
    size_t skipped_ = 0;
    size_t tokens_ = 0;
    Progress progress_;
};

}
