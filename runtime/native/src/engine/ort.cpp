#include "engine/ort.hpp"

#include <algorithm>
#include <cstdlib>

#include <unistd.h>

#include "core/error.hpp"
#include "core/pool.hpp"

namespace regad {
namespace {

// The oldest whose CUDA provider knows use_tf32.
constexpr std::uint32_t oldest_cuda_api = 18;

std::vector<std::pair<std::string, std::string>> parse_options(const std::string &text) {
    std::vector<std::pair<std::string, std::string>> options;
    std::istringstream stream(text);
    for (std::string item; std::getline(stream, item, ';');) {
        const std::size_t equal = item.find('=');
        if (equal == std::string::npos || equal == 0) {
            fail(REGAD_INVALID_ARGUMENT, "options.provider_options has '", item, "'; expected key=value;key=value");
        }
        options.emplace_back(item.substr(0, equal), item.substr(equal + 1));
    }
    return options;
}

const char *provider_of(const std::string &kind) {
    return kind == "cuda" ? "CUDAExecutionProvider" : kind == "tensorrt" ? "TensorrtExecutionProvider"
                                                                         : "CPUExecutionProvider";
}

template <typename Options, typename Create, typename Update, typename Append>
void append_provider(const Ort &ort, const Device &device, OrtSessionOptions *session, Create create, Update update,
                     Append append) {
    Options *raw = nullptr;
    ort.check(create(&raw), REGAD_DEVICE_ERROR, "making the provider's options");
    const Owned<Options> options(raw, {&ort.api()});
    const std::string id = std::to_string(device.id);
    std::vector<const char *> keys = {"device_id"}, values = {id.c_str()};
    for (const auto &[key, value] : device.options) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
    }
    ort.check(update(options.get(), keys.data(), values.data(), keys.size()), REGAD_DEVICE_ERROR,
              "options.provider_options");
    ort.check(append(session, options.get()), REGAD_DEVICE_ERROR, "starting the device");
}

Owned<OrtSessionOptions> session_options(const Ort &ort, const Device &device) {
    const OrtApi &api = ort.api();
    OrtSessionOptions *raw = nullptr;
    ort.check(api.CreateSessionOptions(&raw), REGAD_RUNTIME_ERROR, "making session options");
    Owned<OrtSessionOptions> options(raw, {&api});
    ort.check(api.SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL), REGAD_RUNTIME_ERROR, "session options");
    ort.check(api.SetInterOpNumThreads(raw, 1), REGAD_RUNTIME_ERROR, "session options");
    // By itself it counts the machine's cores, also those that this process may not use.
    const bool bound = device.threads == 0 && static_cast<long>(usable_cores()) < ::sysconf(_SC_NPROCESSORS_ONLN);
    const int threads = bound ? static_cast<int>(usable_cores()) : device.threads;
    ort.check(api.SetIntraOpNumThreads(raw, threads), REGAD_RUNTIME_ERROR, "session options");
    // Its threads must not spin on after a run: the scorer wants those cores.
    ort.check(api.AddSessionConfigEntry(raw, "session.force_spinning_stop", "1"), REGAD_RUNTIME_ERROR,
              "session options");
    if (device.kind == "cuda") {
        append_provider<OrtCUDAProviderOptionsV2>(ort, device, raw, api.CreateCUDAProviderOptions,
                                                  api.UpdateCUDAProviderOptions,
                                                  api.SessionOptionsAppendExecutionProvider_CUDA_V2);
    } else if (device.kind == "tensorrt") {
        append_provider<OrtTensorRTProviderOptionsV2>(ort, device, raw, api.CreateTensorRTProviderOptions,
                                                      api.UpdateTensorRTProviderOptions,
                                                      api.SessionOptionsAppendExecutionProvider_TensorRT_V2);
    }
    return options;
}

}  // namespace

Device Device::parse(const std::string &device, const std::string &options, int threads, const Ort &ort) {
    Device result;
    const std::vector<std::string> offered = ort.providers();
    const auto has = [&offered](const char *provider) {
        return std::find(offered.begin(), offered.end(), provider) != offered.end();
    };
    const std::size_t colon = device.find(':');
    result.kind = device.substr(0, colon);
    result.threads = threads;
    result.options = parse_options(options);
    if (result.kind == "auto" && colon == std::string::npos) {
        result.kind = has(provider_of("cuda")) ? "cuda" : "cpu";
    }
    const std::string id = colon == std::string::npos ? "0" : device.substr(colon + 1);
    const bool known = result.kind == "cpu" || result.kind == "cuda" || result.kind == "tensorrt";
    if (!known || id.empty() || id.size() > 3 || id.find_first_not_of("0123456789") != std::string::npos) {
        fail(REGAD_INVALID_ARGUMENT, "options.device is '", device,
             "'; expected auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N");
    }
    result.id = std::atoi(id.c_str());
    if (!has(provider_of(result.kind))) {
        std::string list;
        for (const std::string &name : offered) {
            list += (list.empty() ? "" : ", ") + name;
        }
        fail(REGAD_DEVICE_ERROR, "device ", result.kind, " needs ONNX Runtime's ", provider_of(result.kind),
             ", but ", ort.library(), " offers ", list, "; use a GPU build of ONNX Runtime or the device cpu");
    }
    return result;
}

Device Device::for_graph(const std::string &dtype, bool registers, const Ort &ort) const {
    Device result = *this;
    const auto needs = [&result](const char *key, const char *value) {
        const bool given = std::any_of(result.options.begin(), result.options.end(),
                                       [key](const auto &option) { return option.first == key; });
        if (!given) {
            result.options.emplace_back(key, value);
        }
    };
    // Convolutions and products of float32 in TF32 put distances off by a percent. An fp16 encoder without STNs has none.
    const bool has_float32 = dtype != "fp16" || registers;
    const char *tf32 = std::getenv("NVIDIA_TF32_OVERRIDE");
    const bool ruled_out = tf32 != nullptr && std::string(tf32) == "0";
    if (kind == "cuda" && has_float32 && (ort.api_version() >= oldest_cuda_api || !ruled_out)) {
        if (ort.api_version() < oldest_cuda_api) {
            fail(REGAD_DEVICE_ERROR, "ONNX Runtime ", ort.version(), " may compute float32 in TF32 on a GPU and has no option "
                 "against it; install ONNX Runtime 1.", oldest_cuda_api, " or newer, or set NVIDIA_TF32_OVERRIDE=0");
        }
        needs("use_tf32", "0");
    } else if (kind == "tensorrt" && !ruled_out) {
        fail(REGAD_DEVICE_ERROR, "device tensorrt computes float32 in TF32, and ONNX Runtime has no option against it; set "
             "NVIDIA_TF32_OVERRIDE=0 in the environment, or use the device cuda");
    } else if (kind == "tensorrt" && dtype == "fp16") {
        needs("trt_fp16_enable", "1");  // else it builds float32 engines, whatever the graph says
    } else if (kind == "tensorrt" && dtype == "int8") {
        needs("trt_int8_enable", "1");
    }
    return result;
}

Session::Session(std::shared_ptr<const Ort> ort, const Device &device, const Buffer<unsigned char> &graph,
                 const std::string &what, const std::vector<Port> &inputs, const std::vector<Port> &outputs)
    : ort_(std::move(ort)), session_(nullptr, {&ort_->api()}) {
    const Owned<OrtSessionOptions> options = session_options(*ort_, device);
    OrtSession *raw = nullptr;
    ort_->check(ort_->api().CreateSessionFromArray(ort_->env(), graph.data(), graph.size(), options.get(), &raw),
                device.on_cpu() ? REGAD_ARTIFACT_ERROR : REGAD_DEVICE_ERROR, what.c_str());
    session_.reset(raw);
    check_ports(true, inputs, what);
    check_ports(false, outputs, what);
}

void Session::check_ports(bool input, const std::vector<Port> &ports, const std::string &what) const {
    const OrtApi &api = ort_->api();
    const char *side = input ? "inputs" : "outputs";
    OrtAllocator *allocator = nullptr;
    ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), REGAD_RUNTIME_ERROR, "the allocator");
    std::size_t count = 0;
    ort_->check((input ? api.SessionGetInputCount : api.SessionGetOutputCount)(session_.get(), &count),
                REGAD_RUNTIME_ERROR, "counting ports");
    std::size_t matched = 0;
    for (std::size_t i = 0; i < count; ++i) {
        char *raw_name = nullptr;
        ort_->check((input ? api.SessionGetInputName : api.SessionGetOutputName)(session_.get(), i, allocator, &raw_name),
                    REGAD_RUNTIME_ERROR, "naming ports");
        const std::string name = raw_name;
        ort_->check(api.AllocatorFree(allocator, raw_name), REGAD_RUNTIME_ERROR, "naming ports");
        OrtTypeInfo *raw_type = nullptr;
        ort_->check((input ? api.SessionGetInputTypeInfo : api.SessionGetOutputTypeInfo)(session_.get(), i, &raw_type),
                    REGAD_RUNTIME_ERROR, "typing ports");
        const Owned<OrtTypeInfo> type(raw_type, {&api});
        const OrtTensorTypeAndShapeInfo *tensor = nullptr;
        ort_->check(api.CastTypeInfoToTensorInfo(raw_type, &tensor), REGAD_RUNTIME_ERROR, "typing ports");
        if (tensor == nullptr) {
            continue;
        }
        ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        std::size_t rank = 0;
        ort_->check(api.GetTensorElementType(tensor, &element), REGAD_RUNTIME_ERROR, "typing ports");
        ort_->check(api.GetDimensionsCount(tensor, &rank), REGAD_RUNTIME_ERROR, "typing ports");
        std::vector<std::int64_t> shape(rank);
        ort_->check(api.GetDimensions(tensor, shape.data(), rank), REGAD_RUNTIME_ERROR, "typing ports");
        for (const Port &port : ports) {
            bool same = port.name == name && port.type == element && port.shape.size() == rank;
            for (std::size_t d = 0; same && d < rank; ++d) {
                same = shape[d] < 0 || port.shape[d] < 0 || shape[d] == port.shape[d];
            }
            matched += same ? 1 : 0;
        }
    }
    if (matched != ports.size() || count != ports.size()) {
        std::string names;
        for (const Port &port : ports) {
            names += (names.empty() ? "" : ", ") + port.name;
        }
        fail(REGAD_ARTIFACT_ERROR, what, " has other ", side, " than this library uses (", names,
             "); export it again: regad-export");
    }
}

Owned<OrtIoBinding> Session::binding() const {
    OrtIoBinding *raw = nullptr;
    ort_->check(ort_->api().CreateIoBinding(session_.get(), &raw), REGAD_RUNTIME_ERROR, "making a binding");
    return {raw, {&ort_->api()}};
}

void Session::run(OrtIoBinding *binding) const {
    ort_->check(ort_->api().RunWithBinding(session_.get(), nullptr, binding), REGAD_RUNTIME_ERROR, "running a graph");
}

Owned<OrtMemoryInfo> memory_of(const Ort &ort, const Device &device) {
    OrtMemoryInfo *raw = nullptr;
    if (device.on_cpu()) {
        ort.check(ort.api().CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &raw), REGAD_RUNTIME_ERROR,
                  "naming memory");
    } else {
        ort.check(ort.api().CreateMemoryInfo("Cuda", OrtDeviceAllocator, device.id, OrtMemTypeDefault, &raw),
                  REGAD_RUNTIME_ERROR, "naming memory");
    }
    return {raw, {&ort.api()}};
}

Owned<OrtValue> wrap(const Ort &ort, ONNXTensorElementDataType type, void *data, std::size_t bytes,
                     const std::vector<std::int64_t> &shape) {
    const Owned<OrtMemoryInfo> memory = memory_of(ort, Device{});
    OrtValue *raw = nullptr;
    ort.check(ort.api().CreateTensorWithDataAsOrtValue(memory.get(), data, bytes, shape.data(), shape.size(), type, &raw),
              REGAD_RUNTIME_ERROR, "wrapping a tensor");
    return {raw, {&ort.api()}};
}

}  // namespace regad
