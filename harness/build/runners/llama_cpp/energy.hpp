// Energy by the machine's own counters (Linux's powercap).
#pragma once

#include "events.hpp"
#include "files.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

// Counters that lie side by side: packages, and their memory, which a package's counter leaves out.
class EnergyCounters {
public:
    // `folder` is powercap's, such as /sys/class/powercap. None readable: missing() says why.
    explicit EnergyCounters(const std::string & folder);

    // Adds what was used since the last call, which must come before a counter has gone round twice.
    void add_to_idle() { add(&Domain::idle_uj); }
    void add_to_work() { add(&Domain::work_uj); }

    // A list of objects; empty with a reason in missing().
    Record domains() const;
    const std::string & missing() const { return missing_; }

private:
    struct Domain {
        std::string name;
        FileDescriptor counter;
        uint64_t range_uj;
        uint64_t last_uj;
        uint64_t idle_uj = 0, work_uj = 0;
    };

    void open_zone(const std::string & zone);
    void add(uint64_t Domain::*sum);

    std::vector<Domain> domains_;
    std::string missing_;
};

}
