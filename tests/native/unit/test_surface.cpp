// The C ABI over the fake ONNX Runtime: every status, and a detector that stays usable after each.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fixture.hpp"

TEST(surface_versions_and_names) {
    CHECK_EQUAL(regad_version(), REGAD_VERSION);
    CHECK_EQUAL(regad::version(), "0.1.0");
    CHECK_EQUAL(std::string(regad_status_string(REGAD_OK)), "ok");
    CHECK_EQUAL(std::string(regad_status_string(REGAD_INTERNAL_ERROR)), "internal error");
    CHECK_EQUAL(std::string(regad_status_string(99)), "unknown status");
    CHECK_EQUAL(std::string(regad_status_string(-1)), "unknown status");
}

TEST(surface_judges) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    const regad::Result result = detector.predict(f.image(), true);
    CHECK(std::isfinite(result.score) && result.score > 0);
    CHECK_EQUAL(result.threshold, 50.0);
    CHECK_EQUAL(result.anomalous, static_cast<double>(result.score) > 50.0 ? 1 : 0);
    CHECK_EQUAL(*std::max_element(result.map.begin(), result.map.end()), result.score);
    CHECK_EQUAL(result.thetas[2][1][1], 1.0F);
    CHECK(result.ms_total > 0);
    detector.set_threshold(static_cast<double>(result.score) * 2);
    CHECK_EQUAL(detector.predict(f.image()).anomalous, 0);
    detector.set_threshold(static_cast<double>(result.score) / 2);
    CHECK_EQUAL(detector.predict(f.image()).anomalous, 1);
    detector.load_category(f.hybrid());
    CHECK_EQUAL(detector.predict(f.image()).threshold, 60.0);
}

TEST(surface_formats_and_strides_agree) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    const int width = 101, height = 67;
    std::vector<std::uint8_t> rgb, bgr, rgba, bgra, padded, flipped;
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const auto r = static_cast<std::uint8_t>(x * 5 + y), g = static_cast<std::uint8_t>(x ^ y),
                       b = static_cast<std::uint8_t>(y * 3);
            rgb.insert(rgb.end(), {r, g, b});
            bgr.insert(bgr.end(), {b, g, r});
            rgba.insert(rgba.end(), {r, g, b, 9});
            bgra.insert(bgra.end(), {b, g, r, 7});
            padded.insert(padded.end(), {r, g, b});
        }
        padded.insert(padded.end(), 13, 255);
    }
    for (int y = height - 1; y >= 0; --y) {
        flipped.insert(flipped.end(), rgb.begin() + y * width * 3, rgb.begin() + (y + 1) * width * 3);
    }
    const auto map = [&](const std::uint8_t *data, regad::Format format, std::int64_t stride) {
        return detector.predict(regad::Image(data, width, height, format, stride), true).map;
    };
    const std::vector<float> expected = map(rgb.data(), regad::Format::rgb, 0);
    CHECK(map(bgr.data(), regad::Format::bgr, 0) == expected);
    CHECK(map(rgba.data(), regad::Format::rgba, 0) == expected);
    CHECK(map(bgra.data(), regad::Format::bgra, 0) == expected);
    CHECK(map(padded.data(), regad::Format::rgb, width * 3 + 13) == expected);
    CHECK(map(flipped.data() + (height - 1) * width * 3, regad::Format::rgb, -width * 3) == expected);
}

TEST(surface_batch_is_its_images) {
    const Fixture f;
    regad::Options options = f.options;
    options.max_batch = 3;
    regad::Detector detector(f.folder / "model.regad", options);
    detector.load_category(f.hybrid());
    std::vector<regad::Image> images;
    for (int i = 0; i < 7; ++i) {
        images.emplace_back(f.pixels.data() + i * 1000, 100 + 10 * i, 80, regad::Format::rgb);
    }
    const std::vector<regad::Result> batch = detector.predict_batch(images, true);
    for (std::size_t i = 0; i < images.size(); ++i) {
        const regad::Result one = detector.predict(images[i], true);
        CHECK_EQUAL(one.score, batch[i].score);
        CHECK(one.map == batch[i].map);
    }
    CHECK(detector.predict_batch({}).empty());
}

TEST(surface_refuses_bad_arguments) {
    const Fixture f;
    regad_detector *made = reinterpret_cast<regad_detector *>(1);
    CHECK_EQUAL(regad_detector_create(nullptr, nullptr, &made), REGAD_INVALID_ARGUMENT);
    CHECK(made == nullptr);
    CHECK_EQUAL(regad_detector_create("x", nullptr, nullptr), REGAD_INVALID_ARGUMENT);
    regad_detector_destroy(nullptr);
    regad_options options;
    CHECK_EQUAL(regad_options_init(nullptr, sizeof options), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_options_init(&options, sizeof options + 8), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_options_init(&options, sizeof options), REGAD_OK);
    CHECK_EQUAL(std::string(options.device), "cpu");
    options.struct_size = 3;
    CHECK_EQUAL(regad_detector_create("x", &options, &made), REGAD_INVALID_ARGUMENT);

    const auto with = [&f](auto change) {
        regad::Options changed = f.options;
        change(changed);
        return status_of([&] { regad::Detector(f.folder / "model.regad", changed); });
    };
    CHECK_EQUAL(with([](regad::Options &o) { o.threads = -1; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.max_batch = 0; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.concurrency = 0; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.scorer = 9; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.device = "tpu"; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.device = "cuda:x"; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.provider_options = "novalue"; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad::Options &o) { o.device = "cuda"; }), REGAD_DEVICE_ERROR);
    CHECK_EQUAL(with([](regad::Options &o) { o.device = "tensorrt:1"; }), REGAD_DEVICE_ERROR);
    CHECK_EQUAL(with([](regad::Options &o) { o.onnxruntime = "/nowhere.so"; }), REGAD_DEVICE_ERROR);
    CHECK_EQUAL(with([](regad::Options &o) { o.onnxruntime = "libm.so.6"; }), REGAD_DEVICE_ERROR);
    CHECK_EQUAL(with([](regad::Options &o) { o.device = "auto"; }), REGAD_OK);
}

TEST(surface_refuses_bad_images) {
    const Fixture f;
    regad::Detector detector = f.open();
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_NO_CATEGORY);
    CHECK_EQUAL(status_of([&] { detector.set_threshold(1); }), REGAD_NO_CATEGORY);
    detector.load_category(f.folder / "a.safetensors");
    const float before = detector.predict(f.image()).score;
    const auto with = [&](auto change) {
        regad::Image image = f.image();
        change(image);
        regad::Result result;
        result.anomalous = 0;
        const regad_status status = regad_predict(detector.get(), &image, &result, nullptr, 0);
        CHECK(status == REGAD_OK || result.anomalous == 1);
        CHECK_EQUAL(detector.predict(f.image()).score, before);
        return status;
    };
    CHECK_EQUAL(with([](regad_image &) {}), REGAD_OK);
    CHECK_EQUAL(with([](regad_image &i) { i.data = nullptr; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad_image &i) { i.format = 17; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad_image &i) { i.struct_size = 5; }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(with([](regad_image &i) { i.width = 0; }), REGAD_INPUT_ERROR);
    CHECK_EQUAL(with([](regad_image &i) { i.height = -4; }), REGAD_INPUT_ERROR);
    CHECK_EQUAL(with([](regad_image &i) { i.height = 70000; }), REGAD_INPUT_ERROR);
    CHECK_EQUAL(with([](regad_image &i) { i.stride = 10; }), REGAD_INPUT_ERROR);
    CHECK_EQUAL(with([](regad_image &i) { i.stride = INT64_MIN; }), REGAD_INPUT_ERROR);
    CHECK_EQUAL(with([](regad_image &i) { i.stride = INT64_MAX; }), REGAD_INPUT_ERROR);

    const regad::Image image = f.image();
    regad::Result result;
    std::vector<float> map(REGAD_MAP_LENGTH - 1);
    CHECK_EQUAL(regad_predict(detector.get(), &image, &result, map.data(), map.size()), REGAD_BUFFER_TOO_SMALL);
    CHECK_EQUAL(regad_predict(detector.get(), &image, &result, nullptr, 5), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_predict(detector.get(), nullptr, &result, nullptr, 0), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_predict(detector.get(), &image, nullptr, nullptr, 0), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_predict(nullptr, &image, &result, nullptr, 0), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(status_of([&] { detector.set_threshold(NAN); }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(status_of([&] { detector.set_threshold(0); }), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(detector.predict(f.image()).score, before);
}

TEST(surface_keeps_the_category_when_a_load_fails) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    const float before = detector.predict(f.image()).score;
    files::write_category(f.folder / "other.safetensors", std::string(64, 'a'), "gram", 3, 1, 50.0);
    files::write(f.folder / "junk.safetensors", "junk");
    const char *names[] = {"absent.safetensors", "other.safetensors", "junk.safetensors", "."};
    for (const char *name : names) {
        CHECK_EQUAL(status_of([&] { detector.load_category(f.folder / name); }), REGAD_CATEGORY_ERROR);
        CHECK_EQUAL(detector.predict(f.image()).score, before);
    }
    CHECK_EQUAL(regad_load_category(detector.get(), nullptr), REGAD_INVALID_ARGUMENT);
}

TEST(surface_refuses_damaged_artifacts) {
    const Fixture f;
    const std::string model = f.folder / "model.regad";
    for (const char *name : {"encoder.onnx", "golden.safetensors", "manifest.json"}) {
        const std::string path = model + "/" + name;
        std::string bytes(static_cast<std::size_t>(std::filesystem::file_size(path)), '\0');
        std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        std::string altered = bytes;
        altered[altered.size() / 2] = '~';
        for (const std::string &wrong : {altered, bytes.substr(0, bytes.size() / 2), std::string()}) {
            files::write(path, wrong);
            CHECK_EQUAL(status_of([&] { f.open(); }), REGAD_ARTIFACT_ERROR);
        }
        CHECK_EQUAL(std::remove(path.c_str()), 0);
        CHECK_EQUAL(status_of([&] { f.open(); }), REGAD_ARTIFACT_ERROR);
        files::write(path, bytes);
    }
    CHECK_EQUAL(status_of([&] { f.open(); }), REGAD_OK);
    CHECK_EQUAL(status_of([&] { regad::Detector("/nowhere", f.options); }), REGAD_ARTIFACT_ERROR);
}

TEST(surface_survives_every_failure_of_onnxruntime) {
    const Fixture f;
    const char *creating[] = {"CreateSessionOptions", "SetSessionGraphOptimizationLevel", "SetInterOpNumThreads",
                              "SetIntraOpNumThreads", "AddSessionConfigEntry", "GetAvailableProviders",
                              "CreateSessionFromArray", "GetAllocatorWithDefaultOptions", "SessionGetInputCount",
                              "SessionGetOutputCount", "SessionGetInputName", "SessionGetOutputName",
                              "SessionGetInputTypeInfo", "SessionGetOutputTypeInfo", "CastTypeInfoToTensorInfo",
                              "GetTensorElementType", "GetDimensionsCount", "GetDimensions", "CreateCpuMemoryInfo",
                              "CreateTensorWithDataAsOrtValue", "CreateIoBinding", "BindInput", "RunWithBinding",
                              "CreateEnv", "DisableTelemetryEvents", "AllocatorFree", "ReleaseAvailableProviders"};
    for (const char *name : creating) {
        f.fail(name, 1);
        CHECK(status_of([&] { f.open(); }) != REGAD_OK);
        CHECK(std::strstr(regad_last_error(), "failed on demand") != nullptr);
        f.fail(name, 0);
        CHECK_EQUAL(status_of([&] { f.open(); }), REGAD_OK);
    }
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    const float before = detector.predict(f.image()).score;
    f.fail("RunWithBinding", 1);
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_RUNTIME_ERROR);
    f.fail("RunWithBinding", 0);
    CHECK_EQUAL(detector.predict(f.image()).score, before);
    f.mode(1);
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_RUNTIME_ERROR);
    CHECK(std::strstr(regad_last_error(), "not finite") != nullptr);
    f.mode(0);
    CHECK_EQUAL(detector.predict(f.image()).score, before);
    regad::Options graph = f.options;
    graph.scorer = REGAD_SCORER_GRAPH;  // this artifact has no scorer graphs
    regad::Detector other(f.folder / "model.regad", graph);
    CHECK_EQUAL(status_of([&] { other.load_category(f.folder / "a.safetensors"); }), REGAD_ARTIFACT_ERROR);
}

namespace {

// A fixture whose runtime pretends to have GPUs. The fake scorer's map is f1[0] + mean1[0] + l[0] everywhere.
struct GpuFixture : Fixture {
    explicit GpuFixture(const char *device) {
        ::setenv("FAKE_ORT_GPU", "1", 1);
        ::setenv("NVIDIA_TF32_OVERRIDE", "0", 1);
        files::write_artifact(folder / "model.regad", true);
        options.device = device;
        options.provider_options = "arena_extend_strategy=kSameAsRequested";
        const files::Tensors tensors = files::statistics("gram", 3, 1);
        float mean = 0, l = 0;
        std::memcpy(&mean, tensors.at("mean1").bytes.data(), sizeof mean);
        std::memcpy(&l, tensors.at("l_packed").bytes.data(), sizeof l);
        expected = 1.0F + mean + l;
        white.assign(64 * 48 * 3, 255);
    }
    ~GpuFixture() {
        ::unsetenv("FAKE_ORT_GPU");
        ::unsetenv("NVIDIA_TF32_OVERRIDE");
    }
    regad::Image bright() const { return regad::Image(white.data(), 64, 48, regad::Format::rgb); }

    float expected = 0;
    std::vector<std::uint8_t> white;
};

}  // namespace

TEST(surface_on_a_pretended_gpu) {
    for (const char *device : {"cuda", "cuda:1", "tensorrt:0", "auto"}) {
        const GpuFixture f(device);
        regad::Detector detector = f.open();
        detector.load_category(f.folder / "a.safetensors");
        const files::Json json = files::Json::parse(detector.describe());
        CHECK_EQUAL(json["scorer"].get<std::string>(), "graph");
        const regad::Result one = detector.predict(f.bright(), true);
        CHECK_EQUAL(one.score, f.expected);
        CHECK_EQUAL(one.map[12345], f.expected);
        CHECK_EQUAL(one.thetas[1][0][0], 1.0F);
        for (const regad::Result &result : detector.predict_batch({f.bright(), f.bright(), f.bright()}, true)) {
            CHECK_EQUAL(result.score, one.score);
            CHECK_EQUAL(result.map[50000], one.map[0]);
        }
        CHECK_EQUAL(detector.predict(f.bright()).score, one.score);
        CHECK_EQUAL(status_of([&] { detector.load_category(f.hybrid()); }), REGAD_ARTIFACT_ERROR);
        CHECK_EQUAL(detector.predict(f.bright()).score, one.score);
        CHECK_EQUAL(regad_self_test(detector.get(), nullptr), REGAD_SELF_TEST_FAILED);  // its golden file is random
        CHECK_EQUAL(detector.predict(f.bright()).score, one.score);
        files::write_category(f.folder / "half.safetensors", f.hash, "gram", 3, 1, 50.0, true);
        detector.load_category(f.folder / "half.safetensors");
        CHECK(std::fabs(detector.predict(f.bright()).score - one.score) < 1e-3F);
    }
}

// Python's backend gives the same options (tests/runtime/test_backend_ort_gpu.py).
TEST(surface_tells_the_provider_how_to_compute) {
    GpuFixture f("cuda:1");
    f.options.provider_options = "";
    const auto given_for = [&f](const char *device, const char *dtype, bool registers = true) {
        f.options.device = device;
        files::write_artifact(f.folder / "model.regad", true, dtype, registers);
        f.open();
        return std::string(f.given());
    };
    CHECK_EQUAL(given_for("cuda:1", "fp32"), "device_id=1;use_tf32=0");
    CHECK_EQUAL(given_for("cuda", "fp16"), "device_id=0;use_tf32=0");
    CHECK_EQUAL(given_for("cuda", "fp16", false), "device_id=0");
    CHECK_EQUAL(given_for("cuda", "int8", false), "device_id=0;use_tf32=0");
    CHECK_EQUAL(given_for("tensorrt", "fp32"), "device_id=0");
    CHECK_EQUAL(given_for("tensorrt", "fp16"), "device_id=0;trt_fp16_enable=1");
    CHECK_EQUAL(given_for("tensorrt", "int8"), "device_id=0;trt_int8_enable=1");
    f.options.provider_options = "use_tf32=1;arena_extend_strategy=kSameAsRequested";
    CHECK_EQUAL(given_for("cuda", "fp32"), "device_id=0;use_tf32=1;arena_extend_strategy=kSameAsRequested");
    f.options.provider_options = "";
    ::setenv("FAKE_ORT_VERSION", "1.17.1", 1);
    CHECK_EQUAL(given_for("cuda", "fp32"), "device_id=0");  // the environment rules TF32 out
    ::unsetenv("NVIDIA_TF32_OVERRIDE");
    CHECK_EQUAL(status_of([&f] { f.open(); }), REGAD_DEVICE_ERROR);
    ::unsetenv("FAKE_ORT_VERSION");
    CHECK(std::strstr(regad_last_error(), "1.18 or newer") != nullptr);
    CHECK_EQUAL(given_for("cuda", "fp32"), "device_id=0;use_tf32=0");
    f.options.device = "tensorrt";
    CHECK_EQUAL(status_of([&f] { f.open(); }), REGAD_DEVICE_ERROR);
    CHECK(std::strstr(regad_last_error(), "set NVIDIA_TF32_OVERRIDE=0") != nullptr);
}

TEST(surface_survives_every_failure_on_a_pretended_gpu) {
    const GpuFixture f("cuda");
    for (const char *name : {"CreateCUDAProviderOptions", "UpdateCUDAProviderOptions", "CreateMemoryInfo",
                             "SessionOptionsAppendExecutionProvider_CUDA_V2", "BindOutputToDevice",
                             "GetBoundOutputValues", "SynchronizeBoundOutputs"}) {
        f.fail(name, 1);
        CHECK(status_of([&] { f.open(); }) != REGAD_OK);
        f.fail(name, 0);
    }
    regad::Detector detector = f.open();
    for (const int call : {1, 2}) {  // the first run of the encoder and of the scorer
        f.fail("RunWithBinding", call);
        CHECK_EQUAL(status_of([&] { detector.load_category(f.folder / "a.safetensors"); }), REGAD_RUNTIME_ERROR);
        CHECK_EQUAL(status_of([&] { detector.predict(f.bright()); }), REGAD_NO_CATEGORY);
    }
    f.fail("RunWithBinding", 3);
    detector.load_category(f.folder / "a.safetensors");
    f.fail("RunWithBinding", 0);
    for (const char *name : {"BindInput", "BindOutput", "BindOutputToDevice", "GetBoundOutputValues", "AllocatorFree",
                             "SynchronizeBoundOutputs", "RunWithBinding", "CreateIoBinding",
                             "CreateTensorWithDataAsOrtValue"}) {
        for (int call = 1; call <= 4; ++call) {
            f.fail(name, call);
            regad_status status = REGAD_OK;
            for (int i = 0; i < 5 && status == REGAD_OK; ++i) {  // a prediction may need it less than `call` times
                status = status_of([&] { detector.predict(f.bright()); });
            }
            CHECK_EQUAL(status, REGAD_RUNTIME_ERROR);
            static_cast<void>(status_of([&] { detector.load_category(f.folder / "a.safetensors"); }));
            f.fail(name, 0);
            CHECK_EQUAL(detector.predict(f.bright()).score, f.expected);
        }
    }
    const GpuFixture other("tensorrt");
    for (const char *name : {"CreateTensorRTProviderOptions", "UpdateTensorRTProviderOptions",
                             "SessionOptionsAppendExecutionProvider_TensorRT_V2"}) {
        other.fail(name, 1);
        CHECK_EQUAL(status_of([&] { other.open(); }), REGAD_DEVICE_ERROR);
        other.fail(name, 0);
    }
}

TEST(surface_steps_down_to_older_runtimes) {
    const Fixture f;
    const auto open_as = [&f](const char *version) {
        ::setenv("FAKE_ORT_VERSION", version, 1);
        const regad_status status = status_of([&] { f.open(); });
        ::unsetenv("FAKE_ORT_VERSION");
        return status;
    };
    CHECK_EQUAL(open_as("1.16.3"), REGAD_OK);
    CHECK_EQUAL(open_as("1.32.0"), REGAD_OK);
    CHECK_EQUAL(open_as("1.15.1"), REGAD_DEVICE_ERROR);
    CHECK(std::strstr(regad_last_error(), "1.16 or newer") != nullptr);
    ::setenv("REGAD_ONNXRUNTIME", FAKE_ORT, 1);
    regad::Options options;
    CHECK_EQUAL(status_of([&] { regad::Detector(f.folder / "model.regad", options); }), REGAD_OK);
    ::setenv("REGAD_ONNXRUNTIME", "/nowhere.so", 1);
    CHECK_EQUAL(status_of([&] { regad::Detector(f.folder / "model.regad", options); }), REGAD_DEVICE_ERROR);
    ::unsetenv("REGAD_ONNXRUNTIME");
}

TEST(surface_describes_and_tests_itself) {
    const Fixture f;
    regad::Detector detector = f.open();
    files::Json json = files::Json::parse(detector.describe());
    CHECK(json["category"].is_null());
    CHECK_EQUAL(json["artifact"]["hash"].get<std::string>(), f.hash);
    detector.load_category(f.hybrid());
    json = files::Json::parse(detector.describe());
    CHECK_EQUAL(json["category"]["encoding"].get<std::string>(), "hybrid");
    std::size_t length = 3;
    char text[3];
    CHECK_EQUAL(regad_describe(detector.get(), text, &length), REGAD_BUFFER_TOO_SMALL);
    CHECK(length > 100);
    CHECK_EQUAL(regad_describe(detector.get(), nullptr, nullptr), REGAD_INVALID_ARGUMENT);
    // The fake runtime cannot reproduce the random golden file: a failure, with the errors told.
    regad_self_test_report report;
    CHECK_EQUAL(regad_self_test_report_init(&report, sizeof report), REGAD_OK);
    CHECK_EQUAL(regad_self_test(detector.get(), &report), REGAD_SELF_TEST_FAILED);
    CHECK(report.features_error > 0.01F);
    CHECK_EQUAL(regad_self_test(detector.get(), nullptr), REGAD_SELF_TEST_FAILED);
}

TEST(surface_logs_and_keeps_errors_apart) {
    const Fixture f;
    std::vector<std::string> lines;
    const auto collect = [](void *user, regad_log_level, const char *message) {
        static_cast<std::vector<std::string> *>(user)->push_back(message);
    };
    CHECK_EQUAL(regad_set_log(collect, &lines, 0), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_set_log(collect, &lines, REGAD_LOG_INFO), REGAD_OK);
    regad::Detector detector = f.open();
    CHECK(!lines.empty());
    lines.clear();
    CHECK_EQUAL(regad_set_log(collect, &lines, REGAD_LOG_ERROR), REGAD_OK);
    CHECK_EQUAL(regad_load_category(detector.get(), "/nowhere"), REGAD_CATEGORY_ERROR);
    CHECK_EQUAL(lines.size(), 1U);
    CHECK_EQUAL(regad_set_log(nullptr, nullptr, REGAD_LOG_INFO), REGAD_OK);
    std::string elsewhere = "unset";
    std::thread([&] { elsewhere = regad_last_error(); }).join();
    CHECK_EQUAL(elsewhere, "");
    CHECK(std::strstr(regad_last_error(), "/nowhere") != nullptr);
}
