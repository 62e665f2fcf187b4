// The C ABI: arguments are checked here, and no exception passes this file.
#include <regad/regad.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "guard.hpp"
#include "handles.hpp"

namespace {

using regad::check_size;
using regad::fail;
using regad::guarded;
using regad::init_struct;
using regad::InUse;
using regad::overwrite;

regad::Settings read_options(const regad_options *options) {
    regad::Settings settings;
    if (options == nullptr) {
        return settings;
    }
    check_size<regad_options>(options->struct_size, "options");
    if (options->threads < 0 || options->threads > 256) {
        fail(REGAD_INVALID_ARGUMENT, "options.threads is ", options->threads, "; expected 0 (all cores) to 256");
    }
    if (options->scorer < REGAD_SCORER_AUTO || options->scorer > REGAD_SCORER_GRAPH) {
        fail(REGAD_INVALID_ARGUMENT, "options.scorer is ", options->scorer, "; expected a REGAD_SCORER_ value");
    }
    if (options->max_batch < 1 || options->max_batch > 64) {
        fail(REGAD_INVALID_ARGUMENT, "options.max_batch is ", options->max_batch, "; expected 1 to 64");
    }
    if (options->concurrency < 1 || options->concurrency > 256) {
        fail(REGAD_INVALID_ARGUMENT, "options.concurrency is ", options->concurrency, "; expected 1 to 256");
    }
    const auto text = [](const char *value, const char *other) { return value != nullptr ? value : other; };
    settings.device = text(options->device, "cpu");
    settings.onnxruntime = text(options->onnxruntime, "");
    settings.provider_options = text(options->provider_options, "");
    settings.threads = options->threads;
    settings.scorer = options->scorer;
    settings.max_batch = static_cast<std::size_t>(options->max_batch);
    settings.concurrency = static_cast<std::size_t>(options->concurrency);
    return settings;
}

regad_result unjudged() noexcept {
    regad_result result = {};
    result.struct_size = sizeof result;
    result.score = INFINITY;
    result.anomalous = 1;
    result.reason = REGAD_NOT_JUDGED;
    return result;
}

regad_result to_result(const regad::Verdict &verdict) noexcept {
    regad_result result = unjudged();
    result.threshold = verdict.threshold;
    result.score = verdict.score;
    result.anomalous = verdict.anomalous ? 1 : 0;
    std::memcpy(result.thetas, verdict.theta, sizeof result.thetas);
    result.reason = verdict.reason;
    result.warn = verdict.warn ? 1 : 0;
    if (verdict.registered) {
        const regad::Similarity &pose = verdict.pose;
        constexpr double pixel = static_cast<double>(regad::input_size) / regad::region_cells;
        result.registered = 1;
        result.angle = static_cast<float>(regad::angle_of(pose));
        result.dx = static_cast<float>(pose.tx * pixel);
        result.dy = static_cast<float>(pose.ty * pixel);
        result.scale = static_cast<float>(std::hypot(pose.a, pose.b));
        result.match = static_cast<float>(verdict.quality);
    }
    for (int i = 0; i < 6; ++i) {
        result.to_map[i / 3][i % 3] = static_cast<float>(verdict.to_map.m[i / 3][i % 3]);
    }
    static_assert(sizeof result.detail == sizeof verdict.detail);
    std::memcpy(result.detail, verdict.detail, sizeof result.detail);
    return result;
}

// No array is longer: a larger count is a negative one, cast.
constexpr std::size_t most_images = PTRDIFF_MAX / sizeof(regad_result);

void check_batch(const regad_image *images, std::size_t count, const regad_result *results, const float *maps,
                 std::size_t maps_length) {
    if (images == nullptr || results == nullptr) {
        fail(REGAD_INVALID_ARGUMENT, "images or results is NULL");
    }
    if (count > most_images) {
        fail(REGAD_INVALID_ARGUMENT, "count is ", count, "; no array is as long");
    }
    for (std::size_t i = 0; i < count; ++i) {
        check_size<regad_image>(images[i].struct_size, "image");
        check_size<regad_result>(results[i].struct_size, "result");
    }
    if ((maps == nullptr) != (maps_length == 0)) {
        fail(REGAD_INVALID_ARGUMENT, "pass a map buffer with its length, or NULL and 0");
    }
    if (maps != nullptr && maps_length / REGAD_MAP_LENGTH < count) {
        fail(REGAD_BUFFER_TOO_SMALL, "the map buffer holds ", maps_length, " floats; ", count, " images need ",
             count * REGAD_MAP_LENGTH);
    }
}

void predict(regad::Detector &detector, const regad_image *images, std::size_t count, regad_result *results,
             float *maps) {
    const auto loaded = detector.loaded();
    regad::StageTimes times;
    constexpr std::size_t most = regad::Detector::most_images;
    for (std::size_t done = 0; done < count;) {
        const std::size_t now = std::min({detector.max_batch(), most, count - done});
        const regad_image *chosen[most];
        regad::Verdict verdicts[most];
        for (std::size_t i = 0; i < now; ++i) {
            chosen[i] = images + done + i;
        }
        detector.judge(*loaded, chosen, now, verdicts, maps != nullptr ? maps + done * REGAD_MAP_LENGTH : nullptr,
                       times);
        std::transform(verdicts, verdicts + now, results + done, to_result);
        done += now;
    }
    const double share = 1.0 / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) {
        results[i].ms_preprocess = static_cast<float>(times.preprocess * share);
        results[i].ms_encode = static_cast<float>(times.encode * share);
        results[i].ms_score = static_cast<float>(times.score * share);
        results[i].ms_total = static_cast<float>(times.total * share);
    }
}

constexpr regad_self_test_report untested = {sizeof(regad_self_test_report), INFINITY, INFINITY, INFINITY, INFINITY};

// These are written whatever their struct_size says: one that has grown since 0.1.0 needs more care there.
static_assert(sizeof(void *) != 8 || (sizeof(regad_result) == 272 && sizeof(regad_self_test_report) == 24));

constexpr const char *reason_texts[] = {"good", "anomalous", "misplaced", "no_part", "not_judged"};

constexpr const char *status_texts[] = {"ok",           "invalid argument", "artifact error",   "category error",
                                        "input error",  "device error",     "no category",      "runtime error",
                                        "self-test failed", "buffer too small", "out of memory", "internal error"};

#define REGAD_TEXT_(x) #x
#define REGAD_TEXT(x) REGAD_TEXT_(x)

}  // namespace

extern "C" {

int32_t regad_version(void) { return REGAD_VERSION; }

const char *regad_version_string(void) {
    return REGAD_TEXT(REGAD_VERSION_MAJOR) "." REGAD_TEXT(REGAD_VERSION_MINOR) "." REGAD_TEXT(REGAD_VERSION_PATCH);
}

const char *regad_status_string(regad_status status) {
    constexpr auto count = static_cast<regad_status>(sizeof status_texts / sizeof *status_texts);
    return status >= 0 && status < count ? status_texts[status] : "unknown status";
}

const char *regad_reason_string(regad_reason reason) {
    constexpr auto count = static_cast<regad_reason>(sizeof reason_texts / sizeof *reason_texts);
    return reason >= 0 && reason < count ? reason_texts[reason] : "unknown";
}

const char *regad_last_error(void) { return regad::last_error().text; }

regad_status regad_set_log(regad_log_function function, void *user, regad_log_level level) {
    return guarded([&] {
        if (level < REGAD_LOG_INFO || level > REGAD_LOG_ERROR) {
            fail(REGAD_INVALID_ARGUMENT, "level is ", level, "; expected a REGAD_LOG_ value");
        }
        regad::set_log(function, user, level);
    });
}

regad_status regad_options_init(regad_options *options, size_t struct_size) {
    const regad_options defaults = {sizeof(regad_options), "cpu", 0, REGAD_SCORER_AUTO, nullptr, nullptr, 8, 4};
    return init_struct(options, struct_size, defaults, "options");
}

regad_status regad_image_init(regad_image *image, size_t struct_size) {
    const regad_image defaults = {sizeof(regad_image), nullptr, 0, 0, 0, REGAD_FORMAT_RGB};
    return init_struct(image, struct_size, defaults, "image");
}

regad_status regad_result_init(regad_result *result, size_t struct_size) {
    return init_struct(result, struct_size, unjudged(), "result");
}

regad_status regad_self_test_report_init(regad_self_test_report *report, size_t struct_size) {
    return init_struct(report, struct_size, untested, "report");
}

regad_status regad_detector_create(const char *artifact, const regad_options *options, regad_detector **detector) {
    if (detector != nullptr) {
        *detector = nullptr;
    }
    return guarded([&] {
        if (artifact == nullptr || detector == nullptr) {
            fail(REGAD_INVALID_ARGUMENT, "artifact or detector is NULL");
        }
        *detector = regad::give_out(std::make_unique<regad::Detector>(artifact, read_options(options)));
    });
}

void regad_detector_destroy(regad_detector *detector) {
    static_cast<void>(guarded([detector] { regad::take_back(detector); }));
}

regad_status regad_load_category(regad_detector *detector, const char *path) {
    return guarded([&] {
        const InUse used(detector);
        if (path == nullptr) {
            fail(REGAD_INVALID_ARGUMENT, "path is NULL");
        }
        used->load_category(path);
    });
}

regad_status regad_set_threshold(regad_detector *detector, double threshold) {
    return guarded([&] { InUse(detector)->set_threshold(threshold); });
}

regad_status regad_predict(regad_detector *detector, const regad_image *image, regad_result *result, float *map,
                           size_t map_length) {
    return regad_predict_batch(detector, image, 1, result, map, map_length);
}

regad_status regad_predict_batch(regad_detector *detector, const regad_image *images, size_t count,
                                 regad_result *results, float *maps, size_t maps_length) {
    if (count == 0) {
        return REGAD_OK;
    }
    // Whatever fails, and wherever: no caller reads an older verdict.
    const std::size_t reachable = results == nullptr ? 0 : count <= most_images ? count : 1;
    overwrite(results, reachable, unjudged());
    const regad_status status = guarded([&] {
        const InUse used(detector);
        check_batch(images, count, results, maps, maps_length);
        predict(*used, images, count, results, maps);
    });
    if (status != REGAD_OK) {
        overwrite(results, reachable, unjudged());  // a batch of several runs may have judged some
        if (maps != nullptr) {
            const std::size_t room = maps_length / REGAD_MAP_LENGTH;
            std::fill_n(maps, room < count ? maps_length : count * REGAD_MAP_LENGTH, INFINITY);
        }
    }
    return status;
}

regad_status regad_self_test(regad_detector *detector, regad_self_test_report *report) {
    if (report != nullptr) {
        overwrite(report, 1, untested);
    }
    return guarded([&] {
        const InUse used(detector);
        if (report != nullptr) {
            check_size<regad_self_test_report>(report->struct_size, "report");
        }
        const regad::SelfTest test = used->self_test();
        if (report != nullptr) {
            *report = {sizeof *report, test.features, test.theta, test.map, test.score};
        }
        if (!test.failure.empty()) {
            fail(REGAD_SELF_TEST_FAILED, test.failure);
        }
    });
}

regad_status regad_describe(regad_detector *detector, char *text, size_t *length) {
    if (text != nullptr && length != nullptr && *length > 0) {
        *text = '\0';
    }
    return guarded([&] {
        const InUse used(detector);
        if (length == nullptr || (text == nullptr && *length != 0)) {
            fail(REGAD_INVALID_ARGUMENT, "length is NULL, or text is NULL with a length");
        }
        const std::string json = used->describe();
        const std::size_t room = *length;
        *length = json.size() + 1;
        if (text == nullptr) {
            return;
        }
        if (room < *length) {
            fail(REGAD_BUFFER_TOO_SMALL, "the text buffer has ", room, " bytes; the description needs ", *length);
        }
        std::memcpy(text, json.c_str(), *length);
    });
}

}  // extern "C"
