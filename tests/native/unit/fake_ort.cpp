// A stand-in for ONNX Runtime: only the functions that the library calls, an encoder whose features are simple
// sums of pixels, failures on demand. $FAKE_ORT_VERSION sets the version it claims.
#include <onnxruntime_c_api.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

struct OrtStatus {
    const char *text;
};
struct OrtEnv {
    int unused;
};
struct OrtSessionOptions {
    int unused;
};
struct OrtMemoryInfo {
    int unused;
};
struct OrtValue {
    void *data;
    std::int64_t batch;
};
struct OrtIoBinding {
    OrtValue image, f1, f2, f3, theta;
};
struct OrtSession {
    int unused;
};
struct OrtTypeInfo {
    int port;
};

namespace {

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

struct PortInfo {
    const char *name;
    ONNXTensorElementDataType type;
    std::vector<std::int64_t> shape;
};

const PortInfo ports[] = {{"image", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {-1, 224, 224, 3}},
                          {"f1", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 3136, 64}},
                          {"f2", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 784, 128}},
                          {"f3", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 196, 256}},
                          {"theta", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, 3, 2, 3}}};

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

OrtStatus *run(const OrtIoBinding &binding) {
    for (std::int64_t b = 0; b < binding.image.batch; ++b) {
        const auto *image = static_cast<const std::uint8_t *>(binding.image.data) + b * 224 * 224 * 3;
        level(image, 56, 64, static_cast<float *>(binding.f1.data) + b * 3136 * 64);
        level(image, 28, 128, static_cast<float *>(binding.f2.data) + b * 784 * 128);
        level(image, 14, 256, static_cast<float *>(binding.f3.data) + b * 196 * 256);
        float *theta = static_cast<float *>(binding.theta.data) + b * 18;
        for (int i = 0; i < 18; ++i) {
            theta[i] = i % 6 == 0 || i % 6 == 4 ? 1.0F : 0.0F;
        }
        if (output_mode == 1) {
            static_cast<float *>(binding.f1.data)[0] = NAN;
        }
    }
    return nullptr;
}

OrtValue *slot(OrtIoBinding *binding, const char *name) {
    OrtValue *slots[] = {&binding->image, &binding->f1, &binding->f2, &binding->f3, &binding->theta};
    for (int i = 0; i < 5; ++i) {
        if (std::strcmp(name, ports[i].name) == 0) {
            return slots[i];
        }
    }
    return nullptr;
}

OrtAllocator allocator{};
const char *provider_names[] = {"CPUExecutionProvider"};

template <typename T, typename... Rest>
OrtStatus *make(const char *name, T **out) {
    if (OrtStatus *status = outcome(name)) {
        return status;
    }
    *out = new T{};
    return nullptr;
}

OrtApi make_api() {
    OrtApi api{};
    api.GetErrorMessage = [](const OrtStatus *status) noexcept { return status->text; };
    api.ReleaseStatus = [](OrtStatus *) noexcept {};
    api.CreateEnvWithCustomLogger = [](OrtLoggingFunction, void *, OrtLoggingLevel, const char *,
                                       OrtEnv **out) noexcept { return make("CreateEnv", out); };
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
        *count = 1;
        return outcome("GetAvailableProviders");
    };
    api.ReleaseAvailableProviders = [](char **, int) noexcept { return outcome("ReleaseAvailableProviders"); };
    api.CreateSessionFromArray = [](const OrtEnv *, const void *, size_t, const OrtSessionOptions *,
                                    OrtSession **out) noexcept { return make("CreateSessionFromArray", out); };
    api.ReleaseSession = [](OrtSession *p) noexcept { delete p; };
    api.GetAllocatorWithDefaultOptions = [](OrtAllocator **out) noexcept {
        *out = &allocator;
        return outcome("GetAllocatorWithDefaultOptions");
    };
    api.SessionGetInputCount = [](const OrtSession *, size_t *count) noexcept {
        *count = 1;
        return outcome("SessionGetInputCount");
    };
    api.SessionGetOutputCount = [](const OrtSession *, size_t *count) noexcept {
        *count = 4;
        return outcome("SessionGetOutputCount");
    };
    api.SessionGetInputName = [](const OrtSession *, size_t i, OrtAllocator *, char **out) noexcept {
        *out = const_cast<char *>(ports[i].name);
        return outcome("SessionGetInputName");
    };
    api.SessionGetOutputName = [](const OrtSession *, size_t i, OrtAllocator *, char **out) noexcept {
        *out = const_cast<char *>(ports[i + 1].name);
        return outcome("SessionGetOutputName");
    };
    api.AllocatorFree = [](OrtAllocator *, void *) noexcept { return outcome("AllocatorFree"); };
    api.SessionGetInputTypeInfo = [](const OrtSession *, size_t i, OrtTypeInfo **out) noexcept {
        OrtStatus *status = make("SessionGetInputTypeInfo", out);
        if (status == nullptr) {
            (*out)->port = static_cast<int>(i);
        }
        return status;
    };
    api.SessionGetOutputTypeInfo = [](const OrtSession *, size_t i, OrtTypeInfo **out) noexcept {
        OrtStatus *status = make("SessionGetOutputTypeInfo", out);
        if (status == nullptr) {
            (*out)->port = static_cast<int>(i) + 1;
        }
        return status;
    };
    api.ReleaseTypeInfo = [](OrtTypeInfo *p) noexcept { delete p; };
    api.CastTypeInfoToTensorInfo = [](const OrtTypeInfo *in, const OrtTensorTypeAndShapeInfo **out) noexcept {
        *out = reinterpret_cast<const OrtTensorTypeAndShapeInfo *>(&ports[in->port]);
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
    api.CreateTensorWithDataAsOrtValue = [](const OrtMemoryInfo *, void *data, size_t, const int64_t *shape, size_t,
                                            ONNXTensorElementDataType, OrtValue **out) noexcept {
        OrtStatus *status = make("CreateTensorWithDataAsOrtValue", out);
        if (status == nullptr) {
            **out = {data, shape[0]};
        }
        return status;
    };
    api.ReleaseValue = [](OrtValue *p) noexcept { delete p; };
    api.CreateIoBinding = [](OrtSession *, OrtIoBinding **out) noexcept { return make("CreateIoBinding", out); };
    api.ReleaseIoBinding = [](OrtIoBinding *p) noexcept { delete p; };
    api.BindInput = [](OrtIoBinding *binding, const char *name, const OrtValue *value) noexcept {
        *slot(binding, name) = *value;
        return outcome("BindInput");
    };
    api.BindOutput = api.BindInput;
    api.RunWithBinding = [](OrtSession *, const OrtRunOptions *, const OrtIoBinding *binding) noexcept {
        OrtStatus *status = outcome("RunWithBinding");
        return status != nullptr ? status : run(*binding);
    };
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
}
