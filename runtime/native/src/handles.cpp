#include "handles.hpp"

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "core/error.hpp"

namespace regad {

struct Entry {
    std::unique_ptr<Detector> detector;
    std::size_t users = 0;  // guarded by the table's mutex
};

namespace {

struct Table {
    std::mutex mutex;
    std::condition_variable unused;
    std::map<std::uintptr_t, Entry> open;
    std::uintptr_t last = 0;
};

// Never destroyed: a detector left open at the end of the process may still be in use by another thread.
Table &table() {
    static Table *const only = new Table;
    return *only;
}

std::uintptr_t number(regad_detector *handle) { return reinterpret_cast<std::uintptr_t>(handle); }

}  // namespace

regad_detector *give_out(std::unique_ptr<Detector> detector) {
    Table &all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.open.emplace(all.last + 1, Entry{std::move(detector), 0});
    return reinterpret_cast<regad_detector *>(++all.last);
}

void take_back(regad_detector *handle) {
    Table &all = table();
    std::map<std::uintptr_t, Entry>::node_type gone;  // destroyed after the lock is given up
    std::unique_lock<std::mutex> lock(all.mutex);
    gone = all.open.extract(number(handle));
    if (!gone.empty()) {
        all.unused.wait(lock, [&gone] { return gone.mapped().users == 0; });
    }
}

InUse::InUse(regad_detector *handle) {
    Table &all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto found = all.open.find(number(handle));
    if (found == all.open.end()) {
        const char *what = handle == nullptr ? "detector is NULL" : "detector was destroyed, or is no detector";
        fail(REGAD_INVALID_ARGUMENT, what, "; make one with regad_detector_create");
    }
    entry_ = &found->second;
    ++entry_->users;
    detector_ = entry_->detector.get();
}

InUse::~InUse() {
    Table &all = table();
    const std::lock_guard<std::mutex> lock(all.mutex);
    if (--entry_->users == 0) {
        all.unused.notify_all();  // under the lock: the entry goes as soon as it is given up
    }
}

}  // namespace regad
