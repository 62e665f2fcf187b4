#include "core/log.hpp"

#include <atomic>
#include <mutex>

namespace regad {
namespace {

struct Log {
    std::mutex mutex;  // held while the function runs, so that set_log returns only when the old one is done
    regad_log_function function = nullptr;
    void *user = nullptr;
    std::atomic<regad_log_level> level{REGAD_LOG_ERROR + 1};
};

thread_local bool inside = false;

// Never destroyed: ONNX Runtime's threads may log while the process ends.
Log &state() {
    static Log *const only = new Log;
    return *only;
}

}  // namespace

bool inside_log_function() noexcept { return inside; }

void set_log(regad_log_function function, void *user, regad_log_level level) {
    Log &to = state();
    const std::lock_guard<std::mutex> lock(to.mutex);
    to.function = function;
    to.user = user;
    to.level = function != nullptr ? level : REGAD_LOG_ERROR + 1;
}

void log(regad_log_level level, const char *message) noexcept {
    Log &to = state();
    if (inside || level < to.level.load(std::memory_order_relaxed)) {
        return;
    }
    const std::lock_guard<std::mutex> lock(to.mutex);
    if (to.function != nullptr) {
        inside = true;
        to.function(to.user, level, message);
        inside = false;
    }
}

}  // namespace regad
