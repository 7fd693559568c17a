#include "energy.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <unistd.h>

namespace bench {

namespace {

namespace fs = std::filesystem;

bool starts_with(const std::string & text, const std::string & start) {
    return text.compare(0, start.size(), start) == 0;
}

std::string word_of(const std::string & path) {
    std::string text = read_text(path);
    text.erase(text.find_last_not_of(" \n") + 1);
    return text;
}

std::optional<uint64_t> counter_of(int fd) {
    char text[32];
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0) {
        return std::nullopt;
    }
    text[n] = '\0';
    return std::strtoull(text, nullptr, 10);
}

}

EnergyCounters::EnergyCounters(const std::string & folder) {
    std::error_code error;
    std::vector<std::string> zones;
    for (const auto & entry : fs::directory_iterator(folder, error)) {
        // not intel-rapl-mmio, which counts the same package again
        if (starts_with(entry.path().filename(), "intel-rapl:")) {
            zones.push_back(entry.path());
        }
    }
    std::sort(zones.begin(), zones.end());
    for (const std::string & zone : zones) {
        try {
            open_zone(zone);
        } catch (const std::runtime_error & error) {
            missing_ = error.what();
        }
    }
    if (zones.empty()) {
        missing_ = "no RAPL counters in " + folder + " (most virtual machines have none)";
    } else if (domains_.empty() && missing_.empty()) {
        missing_ = "no RAPL counter of a package in " + folder;
    }
    if (!missing_.empty()) {
        domains_.clear();  // the energy of a part would pass for that of the machine
    }
}

void EnergyCounters::open_zone(const std::string & zone) {
    const std::string name = word_of(zone + "/name");
    if (!starts_with(name, "package") && name != "dram") {
        return;
    }
    const std::string path = zone + "/energy_uj";
    FileDescriptor counter(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (counter.get() < 0) {
        const char * who = errno == EACCES ? " (most systems let only root read it)" : "";
        missing_ = path + ": " + std::strerror(errno) + who;
        return;
    }
    const uint64_t range = std::strtoull(word_of(zone + "/max_energy_range_uj").c_str(), nullptr, 10);
    const std::optional<uint64_t> now = counter_of(counter.get());
    if (!now) {
        missing_ = path + " cannot be read";
        return;
    }
    domains_.push_back({name, std::move(counter), range, *now});
}

void EnergyCounters::add(uint64_t Domain::*sum) {
    for (Domain & domain : domains_) {
        const std::optional<uint64_t> now = counter_of(domain.counter.get());
        if (!now) {
            missing_ = "the counter of " + domain.name + " could not be read any more";
            domains_.clear();
            return;
        }
        const uint64_t gone = *now >= domain.last_uj ? 0 : domain.range_uj;  // it went round once
        domain.*sum += *now + gone - domain.last_uj;
        domain.last_uj = *now;
    }
}

Record EnergyCounters::domains() const {
    Record list = Record::array();
    for (const Domain & domain : domains_) {
        list.push_back(
            {{"name", domain.name}, {"idle_uj", domain.idle_uj}, {"work_uj", domain.work_uj}});
    }
    return list;
}

}
