#include "fields.hpp"

namespace bench {

using nlohmann::json;

namespace {

std::string range(int64_t min, int64_t max) {
    return "from " + std::to_string(min) + " to " + std::to_string(max);
}

bool fits(const json & value, int64_t min, int64_t max) {
    if (!value.is_number_integer()) {
        return false;
    }
    if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX)) {
        return false;
    }
    const int64_t number = value.get<int64_t>();
    return number >= min && number <= max;
}

}

Fields::Fields(const json & object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
        throw BadInput(where_ + ": must be a JSON object");
    }
}

void Fields::refuse(const char * key, const std::string & why) const {
    throw BadInput(where_ + ": \"" + key + "\" " + why);
}

const json & Fields::at(const char * key) {
    known_.insert(key);
    const auto found = object_.find(key);
    if (found == object_.end()) {
        refuse(key, "is missing");
    }
    return *found;
}

std::string Fields::text(const char * key) {
    const json & value = at(key);
    if (!value.is_string()) {
        refuse(key, "must be a string");
    }
    return value.get<std::string>();
}

std::string Fields::path(const char * key) {
    std::string value = text(key);
    if (value.empty() || value.find('\0') != std::string::npos) {
        refuse(key, "must be a path");
    }
    return value;
}

std::optional<std::string> Fields::path_or_null(const char * key) {
    if (at(key).is_null()) {
        return std::nullopt;
    }
    return path(key);
}

std::optional<std::string> Fields::path_if_given(const char * key) {
    if (!object_.contains(key)) {
        return std::nullopt;
    }
    return path(key);
}

bool Fields::boolean(const char * key) {
    const json & value = at(key);
    if (!value.is_boolean()) {
        refuse(key, "must be true or false");
    }
    return value.get<bool>();
}

int64_t Fields::integer(const char * key, int64_t min, int64_t max) {
    const json & value = at(key);
    if (!fits(value, min, max)) {
        const bool any = min == INT64_MIN && max == INT64_MAX;
        refuse(key, any ? "must be an integer" : "must be an integer " + range(min, max));
    }
    return value.get<int64_t>();
}

std::vector<int32_t> Fields::integers(const char * key, int32_t min) {
    const json & value = at(key);
    std::vector<int32_t> numbers;
    if (value.is_array()) {
        numbers.reserve(value.size());
        for (const json & entry : value) {
            if (!fits(entry, min, INT32_MAX)) {
                break;
            }
            numbers.push_back(entry.get<int32_t>());
        }
    }
    if (!value.is_array() || numbers.size() != value.size()) {
        refuse(key, "must be a list of integers " + range(min, INT32_MAX));
    }
    return numbers;
}

std::vector<int32_t> Fields::filled_integers(const char * key, int32_t min) {
    std::vector<int32_t> numbers = integers(key, min);
    if (numbers.empty()) {
        refuse(key, "must not be empty");
    }
    return numbers;
}

std::vector<std::string> Fields::texts(const char * key) {
    const json & value = at(key);
    std::vector<std::string> strings;
    if (value.is_array()) {
        for (const json & entry : value) {
            if (!entry.is_string() || entry.get_ref<const std::string &>().empty()) {
                break;
            }
            strings.push_back(entry.get<std::string>());
        }
    }
    if (!value.is_array() || strings.size() != value.size()) {
        refuse(key, "must be a list of non-empty strings");
    }
    return strings;
}

void Fields::finish() const {
    for (const auto & entry : object_.items()) {
        if (known_.count(entry.key()) == 0) {
            refuse(entry.key().c_str(), "is not a known key");
        }
    }
}

}
