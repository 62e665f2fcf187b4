// ONNX Runtime's library: found, opened, kept quiet.
#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/error.hpp"
#include "core/log.hpp"
#include "engine/ort.hpp"

namespace regad {
namespace {

// The oldest interface that has all that is called here.
constexpr std::uint32_t oldest_api = 16;

constexpr const char *variable = "ORT_DISABLE_TELEMETRY";

// ONNX Runtime 1.29 and newer, unless the variable is set when it starts, writes a device id and a database below HOME
// and sends events to its vendor. Whether the variable is this library's: one of the user's is left as it is.
bool silence_telemetry() {
    static const bool ours = [] {
        if (std::getenv(variable) != nullptr) {
            return false;
        }
        if (::setenv(variable, "1", 0) != 0) {
            fail(REGAD_DEVICE_ERROR, variable, " cannot be set (", std::strerror(errno),
                 "); set it to 1 in the environment");
        }
        return true;
    }();
    return ours;
}

void ORT_API_CALL forward_log(void *, OrtLoggingLevel severity, const char *category, const char *, const char *,
                              const char *message) noexcept {
    try {
        const regad_log_level level = severity >= ORT_LOGGING_LEVEL_ERROR     ? REGAD_LOG_ERROR
                                      : severity >= ORT_LOGGING_LEVEL_WARNING ? REGAD_LOG_WARNING
                                                                              : REGAD_LOG_INFO;
        std::string line = std::string("onnxruntime ") + category + ": " + message;
        flatten(line.data(), line.size());
        log(level, line);
    } catch (...) {  // out of memory: the message is lost, nothing else
    }
}

void *open_library(const std::string &path, std::string &library) {
    const char *environment = std::getenv("REGAD_ONNXRUNTIME");
    std::vector<std::string> names = {"libonnxruntime.so.1", "libonnxruntime.so"};
    if (!path.empty()) {
        names = {path};
    } else if (environment != nullptr && *environment != '\0') {
        names = {environment};
    }
    std::string reasons;
    for (const std::string &name : names) {
        if (void *handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
            library = name;
            return handle;
        }
        const char *reason = ::dlerror();
        reasons += (reasons.empty() ? "" : "; ") + std::string(reason != nullptr ? reason : name);
    }
    fail(REGAD_DEVICE_ERROR, "ONNX Runtime's library cannot be opened (", reasons,
         "); name libonnxruntime.so in options.onnxruntime or in REGAD_ONNXRUNTIME");
}

// 18 of "1.18.2"; asking for more than that would make ONNX Runtime complain on stderr.
std::uint32_t newest_api(const std::string &version) {
    unsigned major = 0, minor = 0;
    if (std::sscanf(version.c_str(), "%u.%u", &major, &minor) != 2 || major != 1) {
        return ORT_API_VERSION;
    }
    return std::min<std::uint32_t>(ORT_API_VERSION, minor);
}

}  // namespace

std::shared_ptr<const Ort> Ort::open(const std::string &path) {
    static std::mutex mutex;
    static std::map<void *, std::weak_ptr<const Ort>> opened;
    const std::lock_guard<std::mutex> lock(mutex);
    const bool quiet = silence_telemetry();
    std::string library;
    void *handle = open_library(path, library);  // never closed: its threads and thread-local data outlive a detector
    std::shared_ptr<const Ort> found = opened[handle].lock();
    if (!found) {
        found = open_new(library, handle, quiet);
        opened[handle] = found;
    }
    return found;
}

std::shared_ptr<const Ort> Ort::open_new(const std::string &library, void *handle, bool quiet) {
    using GetBase = const OrtApiBase *(*)();
    const auto get_base = reinterpret_cast<GetBase>(::dlsym(handle, "OrtGetApiBase"));
    const OrtApiBase *base = get_base != nullptr ? get_base() : nullptr;
    if (base == nullptr) {
        fail(REGAD_DEVICE_ERROR, library, " is not an ONNX Runtime library (it has no OrtGetApiBase); name "
             "libonnxruntime.so in options.onnxruntime or in REGAD_ONNXRUNTIME");
    }
    const std::shared_ptr<Ort> ort(new Ort);
    ort->library_ = library;
    ort->version_ = base->GetVersionString();
    for (std::uint32_t version = newest_api(ort->version_); version >= oldest_api && ort->api_ == nullptr; --version) {
        ort->api_ = base->GetApi(version);
        ort->api_version_ = version;
    }
    if (ort->api_ == nullptr) {
        fail(REGAD_DEVICE_ERROR, library, " is ONNX Runtime ", ort->version_, ", which does not offer interface ",
             oldest_api, " or newer; install ONNX Runtime 1.", oldest_api, " or newer");
    }
    ort->check(ort->api_->CreateEnvWithCustomLogger(forward_log, nullptr, ORT_LOGGING_LEVEL_WARNING, "regad", &ort->env_),
               REGAD_RUNTIME_ERROR, "making ONNX Runtime's environment");
    if (quiet) {  // for an environment that the application made before, which the variable came too late for
        ort->check(ort->api_->DisableTelemetryEvents(ort->env_), REGAD_RUNTIME_ERROR, "turning its telemetry off");
    }
    return ort;
}

Ort::~Ort() {
    if (env_ != nullptr) {
        api_->ReleaseEnv(env_);
    }
}

std::vector<std::string> Ort::providers() const {
    char **names = nullptr;
    int count = 0;
    check(api_->GetAvailableProviders(&names, &count), REGAD_DEVICE_ERROR, "listing providers");
    std::vector<std::string> result(names, names + count);
    check(api_->ReleaseAvailableProviders(names, count), REGAD_DEVICE_ERROR, "listing providers");
    return result;
}

void Ort::check(OrtStatus *status, std::int32_t code, const char *doing) const {
    if (status == nullptr) {
        return;
    }
    const std::string text = api_->GetErrorMessage(status);
    api_->ReleaseStatus(status);
    fail(code, "ONNX Runtime ", version_, ": ", doing, ": ", text);
}

}  // namespace regad
