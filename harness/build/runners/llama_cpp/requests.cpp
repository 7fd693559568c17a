#include "requests.hpp"

#include <fstream>

namespace bench {

using nlohmann::json;

namespace {

json parse_line(const std::string & line, const std::string & where) {
    try {
        return json::parse(line);
    } catch (const json::exception & error) {
        throw BadInput(where + ": not valid JSON: " + error.what());
    }
}

int64_t id_of(Fields & fields) {
    return fields.integer("id", INT64_MIN, INT64_MAX);
}

// Ids of the answers that are there; what else an answer holds does not matter here.
std::unordered_set<int64_t> read_ids(const std::string & path) {
    std::unordered_set<int64_t> ids;
    read_lines(path, [&](Fields & fields) { ids.insert(id_of(fields)); });
    return ids;
}

}

void read_lines(const std::string & path, const std::function<void(Fields &)> & take) {
    require_file(path);
    std::ifstream file(path);
    std::string line;
    for (size_t number = 1; std::getline(file, line); ++number) {
        const std::string where = path + ":" + std::to_string(number);
        const json object = parse_line(line, where);
        Fields fields(object, where);
        take(fields);
    }
    if (file.bad()) {
        throw_errno("read", path);
    }
}

void read_requests(const std::string & path,
                   const std::function<void(Fields &, int64_t id)> & take) {
    std::unordered_set<int64_t> seen;
    read_lines(path, [&](Fields & fields) {
        const int64_t id = id_of(fields);
        if (!seen.insert(id).second) {
            fields.refuse("id", std::to_string(id) + " stands twice in the file");
        }
        take(fields, id);
        fields.finish();
    });
}

std::string request_name(int64_t id) {
    return "request " + std::to_string(id);
}

Answers::Answers(const std::string & path) : file_(path), earlier_(read_ids(path)) {}

void Tally::answer(size_t tokens) {
    ++answered_;
    tokens_ += tokens;
    progress_.at(answered_ + skipped_);
}

void Tally::write(Events & events) const {
    events.write("scored", {{"requests", requests_},
                            {"answered", answered_},
                            {"skipped", skipped_},
                            {"tokens", tokens_}});
}

}
