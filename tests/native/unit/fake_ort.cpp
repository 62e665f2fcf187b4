// A stand-in for ONNX Runtime: only the functions that the library calls, an encoder whose features are simple
// sums of pixels, failures on demand. $FAKE_ORT_VERSION sets the version it claims. With $FAKE_ORT_GPU it offers CUDA and
// TensorRT, on which outputs may stay in memory of its own, and a gram scorer: every value of the map is
// f1[0] + mean1[0] + l[0].
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <vector>

struct OrtStatus {
    const char *text;
};
struct OrtEnv {
    int unused;
};
struct OrtSessionOptions {
    bool gpu;
};
struct OrtMemoryInfo {
    int unused;
};
struct OrtValue {
    void *data;
    std::int64_t batch;
    std::size_t bytes;
    std::vector<float> device;  // what `data` points to, if it is memory of the device
};
struct OrtIoBinding {
    const struct OrtSession *session;
    std::map<std::string, OrtValue> values;  // without memory of a device
    std::vector<std::string> outputs;        // in the order they were bound
    std::set<std::string> on_device;
};
struct OrtCUDAProviderOptionsV2 {
    int unused;
};
struct OrtTensorRTProviderOptionsV2 {
    int unused;
};

namespace {

struct PortInfo {
    const char *name;
    ONNXTensorElementDataType type;
    std::vector<std::int64_t> shape;
};
using Ports = std::vector<PortInfo>;

std::string given_options;
std::string telemetry;  // $ORT_DISABLE_TELEMETRY when the environment was made, and what was called since
std::mutex hold_mutex;
std::condition_variable hold_changed;
bool holding = false;
int held = 0;
std::mutex fail_mutex;
std::string fail_name;
int fail_after = 0;
std::atomic<int> output_mode{0};

OrtStatus failure{"failed on demand"};

OrtStatus *outcome(const char *name) {
    const std::lock_guard<std::mutex> lock(fail_mutex);
    if (fail_after > 0 && fail_name == name && --fail_after == 0) {
        fail_after = 1;
        return &failure;
    }
    return nullptr;
}

constexpr ONNXTensorElementDataType float32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
const Ports encoder_ports = {{"image", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {-1, 224, 224, 3}},
                          {"f1", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 3136, 64}},
                          {"f2", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 784, 128}},
                          {"f3", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 196, 256}},
                          {"theta", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 3, 2, 3}}};
const Ports scorer_ports = {{"f1", float32, {-1, 3136, 64}},      {"f2", float32, {-1, 784, 128}},
                            {"f3", float32, {-1, 196, 256}},      {"mean1", float32, {3136, 64}},
                            {"mean2", float32, {784, 128}},       {"mean3", float32, {196, 256}},
                            {"x1", float32, {3136, -1, 64}},      {"x2", float32, {784, -1, 128}},
                            {"x3", float32, {196, -1, 256}},      {"l", float32, {3136, -1, -1}},
                            {"score_factors", float32, {56, 56}}, {"score_weights", float32, {3137}},
                            {"anomaly_map", float32, {-1, 224, 224}}, {"anomaly_score", float32, {-1}}};

void level(const std::uint8_t *image, int grid, int channels, float *out) {
    const int step = 224 / grid;
    for (int y = 0; y < grid; ++y) {
        for (int x = 0; x < grid; ++x) {
            const std::uint8_t *pixel = image + (y * step * 224 + x * step) * 3;
            for (int c = 0; c < channels; ++c) {
                *out++ = static_cast<float>(pixel[c % 3]) / 255.0F * (1.0F + static_cast<float>(c % 7) / 7.0F);
            }
        }
    }
}

}  // namespace

struct OrtSession {
    const Ports *ports;
    std::size_t inputs;
    bool gpu;
};
struct OrtTypeInfo {
    const PortInfo *port;
};

namespace {

// The values of a bound tensor; an output that stays on the device gets its memory here.
float *floats(OrtIoBinding &binding, const char *name, std::int64_t batch, std::size_t length) {
    OrtValue &value = binding.values[name];
    if (binding.on_device.count(name) != 0) {
        value.batch = batch;
        value.device.resize(static_cast<std::size_t>(batch) * length);
        value.data = value.device.data();
    }
    return static_cast<float *>(value.data);
}

void encode(OrtIoBinding &binding) {
    const OrtValue &input = binding.values.at("image");
    for (std::int64_t b = 0; b < input.batch; ++b) {
        const auto *image = static_cast<const std::uint8_t *>(input.data) + b * 224 * 224 * 3;
        level(image, 56, 64, floats(binding, "f1", input.batch, 3136 * 64) + b * 3136 * 64);
        level(image, 28, 128, floats(binding, "f2", input.batch, 784 * 128) + b * 784 * 128);
        level(image, 14, 256, floats(binding, "f3", input.batch, 196 * 256) + b * 196 * 256);
        float *theta = floats(binding, "theta", input.batch, 18) + b * 18;
        for (int i = 0; i < 18; ++i) {
            theta[i] = i % 6 == 0 || i % 6 == 4 ? 1.0F : 0.0F;
        }
        if (output_mode == 1) {
            floats(binding, "f1", input.batch, 3136 * 64)[0] = NAN;
        }
    }
}

void score(OrtIoBinding &binding) {
    const auto *f1 = static_cast<const float *>(binding.values.at("f1").data);
    const auto *mean = static_cast<const float *>(binding.values.at("mean1").data);
    const auto *l = static_cast<const float *>(binding.values.at("l").data);
    const std::int64_t batch = binding.values.at("f1").batch;
    auto *map = static_cast<float *>(binding.values.at("anomaly_map").data);
    for (std::int64_t b = 0; b < batch; ++b) {
        const float value = f1[b * 3136 * 64] + mean[0] + l[0];
        std::fill_n(map + b * 224 * 224, 224 * 224, value);
        static_cast<float *>(binding.values.at("anomaly_score").data)[b] = value;
    }
}

void note_output(OrtIoBinding &binding, const char *name) {
    if (std::find(binding.outputs.begin(), binding.outputs.end(), name) == binding.outputs.end()) {
        binding.outputs.push_back(name);
    }
}

OrtAllocator allocator{};
thread_local void *bound_outputs = nullptr;  // the array of GetBoundOutputValues, the only thing that is freed
const char *provider_names[] = {"CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"};

// What the body needs memory for: without it the function fails as on demand.
template <typename Body>
OrtStatus *attempt(const char *name, const Body &body) noexcept {
    try {
        body();
        return outcome(name);
    } catch (const std::bad_alloc &) {
        return &failure;
    }
}

template <typename T>
OrtStatus *make(const char *name, T **out) noexcept {
    if (OrtStatus *status = outcome(name)) {
        return status;
    }
    *out = new (std::nothrow) T{};
    return *out != nullptr ? nullptr : &failure;
}

void stay_while_held() {
    std::unique_lock<std::mutex> lock(hold_mutex);
    ++held;
    hold_changed.notify_all();
    hold_changed.wait(lock, [] { return !holding; });
    --held;
}

void note_options(const char *const *keys, const char *const *values, std::size_t count) {
    given_options.clear();
    for (std::size_t i = 0; i < count; ++i) {
        given_options += (i == 0 ? "" : ";") + std::string(keys[i]) + "=" + values[i];
    }
}

void add_providers(OrtApi &api) {
    api.CreateCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 **out) noexcept {
        return make("CreateCUDAProviderOptions", out);
    };
    api.ReleaseCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 *p) noexcept { delete p; };
    api.UpdateCUDAProviderOptions = [](OrtCUDAProviderOptionsV2 *, const char *const *keys, const char *const *values,
                                       size_t count) noexcept {
        note_options(keys, values, count);
        return outcome("UpdateCUDAProviderOptions");
    };
    api.SessionOptionsAppendExecutionProvider_CUDA_V2 = [](OrtSessionOptions *options,
                                                           const OrtCUDAProviderOptionsV2 *) noexcept {
        options->gpu = true;
        return outcome("SessionOptionsAppendExecutionProvider_CUDA_V2");
    };
    api.CreateTensorRTProviderOptions = [](OrtTensorRTProviderOptionsV2 **out) noexcept {
        return make("CreateTensorRTProviderOptions", out);
    };
    api.ReleaseTensorRTProviderOptions = [](OrtTensorRTProviderOptionsV2 *p) noexcept { delete p; };
    api.UpdateTensorRTProviderOptions = [](OrtTensorRTProviderOptionsV2 *, const char *const *keys,
                                           const char *const *values, size_t count) noexcept {
        note_options(keys, values, count);
        return outcome("UpdateTensorRTProviderOptions");
    };
    api.SessionOptionsAppendExecutionProvider_TensorRT_V2 = [](OrtSessionOptions *options,
                                                               const OrtTensorRTProviderOptionsV2 *) noexcept {
        options->gpu = true;
        return outcome("SessionOptionsAppendExecutionProvider_TensorRT_V2");
    };
}

OrtApi make_api() {
    OrtApi api{};
    api.GetErrorMessage = [](const OrtStatus *status) noexcept { return status->text; };
    api.ReleaseStatus = [](OrtStatus *) noexcept {};
    api.CreateEnvWithCustomLogger = [](OrtLoggingFunction, void *, OrtLoggingLevel, const char *,
                                       OrtEnv **out) noexcept {
        const char *value = std::getenv("ORT_DISABLE_TELEMETRY");
        telemetry = value != nullptr ? value : "unset";
        return make("CreateEnv", out);
    };
    api.DisableTelemetryEvents = [](const OrtEnv *) noexcept {
        telemetry += " disabled";
        return outcome("DisableTelemetryEvents");
    };
    api.ReleaseEnv = [](OrtEnv *p) noexcept { delete p; };
    api.CreateSessionOptions = [](OrtSessionOptions **out) noexcept { return make("CreateSessionOptions", out); };
    api.ReleaseSessionOptions = [](OrtSessionOptions *p) noexcept { delete p; };
    api.SetSessionGraphOptimizationLevel = [](OrtSessionOptions *, GraphOptimizationLevel) noexcept {
        return outcome("SetSessionGraphOptimizationLevel");
    };
    api.SetInterOpNumThreads = [](OrtSessionOptions *, int) noexcept { return outcome("SetInterOpNumThreads"); };
    api.SetIntraOpNumThreads = [](OrtSessionOptions *, int) noexcept { return outcome("SetIntraOpNumThreads"); };
    api.AddSessionConfigEntry = [](OrtSessionOptions *, const char *, const char *) noexcept {
        return outcome("AddSessionConfigEntry");
    };
    api.GetAvailableProviders = [](char ***out, int *count) noexcept {
        *out = const_cast<char **>(provider_names);
        *count = std::getenv("FAKE_ORT_GPU") != nullptr ? 3 : 1;
        return outcome("GetAvailableProviders");
    };
    api.ReleaseAvailableProviders = [](char **, int) noexcept { return outcome("ReleaseAvailableProviders"); };
    api.CreateSessionFromArray = [](const OrtEnv *, const void *graph, size_t size, const OrtSessionOptions *options,
                                    OrtSession **out) noexcept {
        OrtStatus *status = make("CreateSessionFromArray", out);
        if (status == nullptr) {
            const bool scorer = std::string_view(static_cast<const char *>(graph), size) == "a scorer";
            **out = {scorer ? &scorer_ports : &encoder_ports, scorer ? scorer_ports.size() - 2 : 1, options->gpu};
        }
        return status;
    };
    api.ReleaseSession = [](OrtSession *p) noexcept { delete p; };
    api.GetAllocatorWithDefaultOptions = [](OrtAllocator **out) noexcept {
        *out = &allocator;
        return outcome("GetAllocatorWithDefaultOptions");
    };
    api.SessionGetInputCount = [](const OrtSession *session, size_t *count) noexcept {
        *count = session->inputs;
        return outcome("SessionGetInputCount");
    };
    api.SessionGetOutputCount = [](const OrtSession *session, size_t *count) noexcept {
        *count = session->ports->size() - session->inputs;
        return outcome("SessionGetOutputCount");
    };
    api.SessionGetInputName = [](const OrtSession *session, size_t i, OrtAllocator *, char **out) noexcept {
        *out = const_cast<char *>((*session->ports)[i].name);
        return outcome("SessionGetInputName");
    };
    api.SessionGetOutputName = [](const OrtSession *session, size_t i, OrtAllocator *, char **out) noexcept {
        *out = const_cast<char *>((*session->ports)[session->inputs + i].name);
        return outcome("SessionGetOutputName");
    };
    api.AllocatorFree = [](OrtAllocator *, void *memory) noexcept {
        if (memory == bound_outputs) {
            std::free(memory);
            bound_outputs = nullptr;
        }
        return outcome("AllocatorFree");
    };
    api.SessionGetInputTypeInfo = [](const OrtSession *session, size_t i, OrtTypeInfo **out) noexcept {
        OrtStatus *status = make("SessionGetInputTypeInfo", out);
        if (status == nullptr) {
            (*out)->port = &(*session->ports)[i];
        }
        return status;
    };
    api.SessionGetOutputTypeInfo = [](const OrtSession *session, size_t i, OrtTypeInfo **out) noexcept {
        OrtStatus *status = make("SessionGetOutputTypeInfo", out);
        if (status == nullptr) {
            (*out)->port = &(*session->ports)[session->inputs + i];
        }
        return status;
    };
    api.ReleaseTypeInfo = [](OrtTypeInfo *p) noexcept { delete p; };
    api.CastTypeInfoToTensorInfo = [](const OrtTypeInfo *in, const OrtTensorTypeAndShapeInfo **out) noexcept {
        *out = reinterpret_cast<const OrtTensorTypeAndShapeInfo *>(in->port);
        return outcome("CastTypeInfoToTensorInfo");
    };
    api.GetTensorElementType = [](const OrtTensorTypeAndShapeInfo *in, ONNXTensorElementDataType *out) noexcept {
        *out = reinterpret_cast<const PortInfo *>(in)->type;
        return outcome("GetTensorElementType");
    };
    api.GetDimensionsCount = [](const OrtTensorTypeAndShapeInfo *in, size_t *out) noexcept {
        *out = reinterpret_cast<const PortInfo *>(in)->shape.size();
        return outcome("GetDimensionsCount");
    };
    api.GetDimensions = [](const OrtTensorTypeAndShapeInfo *in, int64_t *out, size_t count) noexcept {
        std::memcpy(out, reinterpret_cast<const PortInfo *>(in)->shape.data(), count * sizeof *out);
        return outcome("GetDimensions");
    };
    api.CreateCpuMemoryInfo = [](OrtAllocatorType, OrtMemType, OrtMemoryInfo **out) noexcept {
        return make("CreateCpuMemoryInfo", out);
    };
    api.ReleaseMemoryInfo = [](OrtMemoryInfo *p) noexcept { delete p; };
    api.CreateMemoryInfo = [](const char *, OrtAllocatorType, int, OrtMemType, OrtMemoryInfo **out) noexcept {
        return make("CreateMemoryInfo", out);
    };
    api.CreateTensorWithDataAsOrtValue = [](const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape,
                                            size_t, ONNXTensorElementDataType, OrtValue **out) noexcept {
        OrtStatus *status = make("CreateTensorWithDataAsOrtValue", out);
        if (status == nullptr) {
            **out = {data, shape[0], bytes, {}};
        }
        return status;
    };
    api.ReleaseValue = [](OrtValue *p) noexcept { delete p; };
    api.CreateIoBinding = [](OrtSession *session, OrtIoBinding **out) noexcept {
        OrtStatus *status = make("CreateIoBinding", out);
        if (status == nullptr) {
            (*out)->session = session;
        }
        return status;
    };
    api.ReleaseIoBinding = [](OrtIoBinding *p) noexcept { delete p; };
    api.BindInput = [](OrtIoBinding *binding, const char *name, const OrtValue *value) noexcept {
        return attempt("BindInput", [&] {
            OrtValue &bound = binding->values[name];
            bound.data = value->data;
            bound.batch = value->batch;
            bound.bytes = value->bytes;
            if (binding->session->gpu && value->device.empty()) {  // from the host: copied, as ONNX Runtime does
                bound.device.resize(value->bytes / sizeof(float));
                std::memcpy(bound.device.data(), value->data, value->bytes);
                bound.data = bound.device.data();
            }
        });
    };
    api.BindOutput = [](OrtIoBinding *binding, const char *name, const OrtValue *value) noexcept {
        return attempt("BindOutput", [&] {
            OrtValue &bound = binding->values[name];
            bound.data = value->data;
            bound.batch = value->batch;
            note_output(*binding, name);
        });
    };
    api.BindOutputToDevice = [](OrtIoBinding *binding, const char *name, const OrtMemoryInfo *) noexcept {
        binding->on_device.insert(name);
        note_output(*binding, name);
        return outcome("BindOutputToDevice");
    };
    api.GetBoundOutputValues = [](const OrtIoBinding *binding, OrtAllocator *, OrtValue ***out, size_t *count) noexcept {
        if (OrtStatus *status = outcome("GetBoundOutputValues")) {
            return status;
        }
        *count = binding->outputs.size();
        bound_outputs = std::malloc(*count * sizeof(OrtValue *));
        *out = static_cast<OrtValue **>(bound_outputs);
        for (std::size_t i = 0; i < *count; ++i) {
            const OrtValue &value = binding->values.at(binding->outputs[i]);
            (*out)[i] = new OrtValue(value);
            (*out)[i]->data = value.device.empty() ? value.data : (*out)[i]->device.data();
        }
        return static_cast<OrtStatus *>(nullptr);
    };
    api.SynchronizeBoundOutputs = [](OrtIoBinding *) noexcept { return outcome("SynchronizeBoundOutputs"); };
    api.RunWithBinding = [](OrtSession *session, const OrtRunOptions *, const OrtIoBinding *binding) noexcept {
        if (OrtStatus *status = outcome("RunWithBinding")) {
            return status;
        }
        stay_while_held();
        (session->ports == &scorer_ports ? score : encode)(*const_cast<OrtIoBinding *>(binding));
        return static_cast<OrtStatus *>(nullptr);
    };
    add_providers(api);
    return api;
}

const char *version() noexcept {
    const char *value = std::getenv("FAKE_ORT_VERSION");
    return value != nullptr ? value : "1.21.0";
}

const OrtApi *get_api(std::uint32_t wanted) noexcept {
    static const OrtApi api = make_api();
    const std::string text = version();
    return wanted <= static_cast<std::uint32_t>(std::atoi(text.c_str() + text.find('.') + 1)) ? &api : nullptr;
}

const OrtApiBase base = {get_api, version};

}  // namespace

extern "C" {
const OrtApiBase *OrtGetApiBase(void) noexcept { return &base; }

void fake_ort_fail(const char *name, int call) {
    const std::lock_guard<std::mutex> lock(fail_mutex);
    fail_name = name;
    fail_after = call;
}

void fake_ort_mode(int mode) { output_mode = mode; }

const char *fake_ort_given(void) { return given_options.c_str(); }

const char *fake_ort_telemetry(void) { return telemetry.c_str(); }

void fake_ort_hold(int hold) {
    const std::lock_guard<std::mutex> lock(hold_mutex);
    holding = hold != 0;
    hold_changed.notify_all();
}

void fake_ort_wait_held(int count) {
    std::unique_lock<std::mutex> lock(hold_mutex);
    hold_changed.wait(lock, [count] { return held >= count; });
}
}
