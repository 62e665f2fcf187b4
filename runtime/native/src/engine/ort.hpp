// ONNX Runtime, opened at run time through its C API, and the few of its objects that are used.
#pragma once

#include <onnxruntime_c_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.hpp"

namespace regad {

// One opened library with its environment. Shared by every detector of the process that names the same library.
class Ort {
public:
    // `path` may be empty: then $REGAD_ONNXRUNTIME, then the loader's search. The first call turns ONNX Runtime's telemetry
    // off, unless $ORT_DISABLE_TELEMETRY is set. Throws Error (REGAD_DEVICE_ERROR).
    static std::shared_ptr<const Ort> open(const std::string &path);
    Ort(const Ort &) = delete;
    Ort &operator=(const Ort &) = delete;
    ~Ort();

    const OrtApi &api() const noexcept { return *api_; }
    OrtEnv *env() const noexcept { return env_; }
    const std::string &version() const noexcept { return version_; }
    const std::string &library() const noexcept { return library_; }
    std::uint32_t api_version() const noexcept { return api_version_; }
    std::vector<std::string> providers() const;
    // Throws Error with ONNX Runtime's own words, "doing" before them, unless `status` is null. Releases it.
    void check(OrtStatus *status, std::int32_t code, const char *doing) const;

private:
    Ort() = default;
    static std::shared_ptr<const Ort> open_new(const std::string &library, void *handle, bool quiet);

    const OrtApi *api_ = nullptr;
    OrtEnv *env_ = nullptr;
    std::string version_;
    std::string library_;
    std::uint32_t api_version_ = 0;
};

struct OrtRelease {
    const OrtApi *api = nullptr;
    void operator()(OrtSession *p) const { api->ReleaseSession(p); }
    void operator()(OrtSessionOptions *p) const { api->ReleaseSessionOptions(p); }
    void operator()(OrtIoBinding *p) const { api->ReleaseIoBinding(p); }
    void operator()(OrtValue *p) const { api->ReleaseValue(p); }
    void operator()(OrtMemoryInfo *p) const { api->ReleaseMemoryInfo(p); }
    void operator()(OrtTypeInfo *p) const { api->ReleaseTypeInfo(p); }
    void operator()(OrtCUDAProviderOptionsV2 *p) const { api->ReleaseCUDAProviderOptions(p); }
    void operator()(OrtTensorRTProviderOptionsV2 *p) const { api->ReleaseTensorRTProviderOptions(p); }
};

template <typename T>
using Owned = std::unique_ptr<T, OrtRelease>;

// Where sessions run.
struct Device {
    std::string kind = "cpu";  // cpu, cuda, tensorrt
    int id = 0;
    int threads = 0;           // 0: ONNX Runtime's choice, of the cores that this process may use
    std::vector<std::pair<std::string, std::string>> options;  // of the execution provider

    bool on_cpu() const noexcept { return kind == "cpu"; }
    // The same with what a graph of `dtype` (fp32, fp16, int8), with STNs or without, needs of the execution provider,
    // unless `options` has it. Throws Error (REGAD_DEVICE_ERROR) if this ONNX Runtime is too old to be told.
    Device for_graph(const std::string &dtype, bool registers, const Ort &ort) const;
    // Parses the `device` and `provider_options` of regad_options ("auto" is resolved). Throws Error.
    static Device parse(const std::string &device, const std::string &options, int threads, const Ort &ort);
};

// What a graph must take or give: dimension -1 is any.
struct Port {
    std::string name;
    ONNXTensorElementDataType type;
    std::vector<std::int64_t> shape;
};

class Session {
public:
    // Throws Error: REGAD_DEVICE_ERROR if the device cannot be started, REGAD_ARTIFACT_ERROR if the graph is not
    // one that takes `inputs` and gives `outputs`. `what` names the graph in messages.
    Session(std::shared_ptr<const Ort> ort, const Device &device, const Buffer<unsigned char> &graph,
            const std::string &what, const std::vector<Port> &inputs, const std::vector<Port> &outputs);

    const Ort &ort() const noexcept { return *ort_; }
    Owned<OrtIoBinding> binding() const;
    void run(OrtIoBinding *binding) const;

private:
    void check_ports(bool input, const std::vector<Port> &ports, const std::string &what) const;

    std::shared_ptr<const Ort> ort_;
    Owned<OrtSession> session_;
};

// A tensor over memory that the caller keeps.
Owned<OrtValue> wrap(const Ort &ort, ONNXTensorElementDataType type, void *data, std::size_t bytes,
                     const std::vector<std::int64_t> &shape);
// The memory of a device: "Cpu" or "Cuda".
Owned<OrtMemoryInfo> memory_of(const Ort &ort, const Device &device);

}  // namespace regad
