// Strict reading of one JSON object: every key once, of the right type, and no others.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct BadInput : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Fields {
public:
    // `where` opens every message, such as "job" or "requests.jsonl:12".
    Fields(const nlohmann::json & object, std::string where);

    std::string text(const char * key);
    std::string path(const char * key);
    std::optional<std::string> path_or_null(const char * key);
    // The only kind of key that a job may leave out.
    std::optional<std::string> path_if_given(const char * key);
    bool boolean(const char * key);
    int64_t integer(const char * key, int64_t min, int64_t max);
    std::vector<int32_t> integers(const char * key, int32_t min = 0);
    std::vector<int32_t> filled_integers(const char * key, int32_t min = 0);
    std::vector<std::string> texts(const char * key);

    template <typename T>
    T choice(const char * key, const std::vector<std::pair<const char *, T>> & choices) {
        const std::string given = text(key);
        std::string names;
        for (const auto & [name, value] : choices) {
            if (given == name) {
                return value;
            }
            names += std::string(names.empty() ? "" : ", ") + name;
        }
        refuse(key, "must be one of " + names);
    }

    // Refuses what was not asked for.
    void finish() const;

    [[noreturn]] void refuse(const char * key, const std::string & why) const;
    const std::string & where() const { return where_; }

private:
    const nlohmann::json & at(const char * key);

    const nlohmann::json & object_;
    std::string where_;
    std::set<std::string> known_;
};

}
