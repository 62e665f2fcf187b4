#include "engine/detector.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "core/error.hpp"
#include "core/kernels.hpp"
#include "core/log.hpp"
#include "core/presence.hpp"
#include "formats/json.hpp"

namespace regad {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

// Largest error relative to the largest expected magnitude; infinity if a value is not finite.
float relative_error(const float *got, const Buffer<float> &expected) {
    double error = 0, largest = 1e-12;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (!std::isfinite(got[i])) {
            return INFINITY;
        }
        error = std::max(error, std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i])));
        largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
    }
    return static_cast<float>(error / largest);
}

void refuse(regad_reason reason, const std::string &detail, Verdict &verdict) {
    verdict.detail[detail.copy(verdict.detail, sizeof verdict.detail - 1)] = '\0';
    verdict.reason = reason;
}

// Whether an encoder's input may show the part; if not, the verdict says why.
bool shows_part(const unsigned char *input, const Limits &limits, Verdict &verdict) {
    const Measures measures = measure(input);
    const std::size_t broken = first_broken(measures, limits);
    if (broken == measure_count) {
        return true;
    }
    refuse(REGAD_NO_PART, taught_with(measure_names[broken], measures[broken], limits[broken]), verdict);
    return false;
}

// From the image to the input of one that is not registered.
Affine plainly_to_map(const Placement &place) noexcept {
    const double x = static_cast<double>(place.width) / (place.right - place.left);
    const double y = static_cast<double>(place.height) / (place.bottom - place.top);
    return {{{x, 0, place.x - x * place.left}, {0, y, place.y - y * place.top}}};
}

}  // namespace

// A category in force. Immutable: a new threshold makes a new one that shares the statistics.
struct Detector::Loaded {
    std::shared_ptr<const Category> category;  // without its tensors
    std::shared_ptr<const Prepared> prepared;
    std::shared_ptr<const Part> part;  // null: the part is not registered
    std::string path;
    double threshold = 0;
    double warn_threshold = no_warning;
};

Detector::Detector(const std::string &artifact, const Settings &settings)
    : artifact_(Artifact::open(artifact)), max_batch_(settings.max_batch),
      engine_(artifact_, settings.onnxruntime, settings.device, settings.provider_options, settings.threads,
              settings.scorer, settings.concurrency) {
    log(REGAD_LOG_INFO, "opened " + artifact + " on " + engine_.device().kind);
}

void Detector::load_category(const std::string &path) {
    auto category = std::make_shared<Category>(
        Category::load(path, artifact_.manifest().hash, artifact_.manifest().spec));
    auto loaded = std::make_shared<Loaded>();
    loaded->path = path;
    loaded->threshold = category->threshold;
    loaded->warn_threshold = category->warn_threshold;
    StatisticsGroups shells;
    for (const Statistics &group : category->statistics) {
        shells.push_back({group.encoding, group.rank, {}, {}, group.finest});
    }
    loaded->prepared = engine_.prepare(artifact_, std::move(category->statistics), std::move(category->scoring));
    category->statistics = std::move(shells);
    if (category->registration) {
        loaded->part = std::make_shared<Part>(std::move(*category->registration), category->spec.fit, engine_.pool());
        category->registration.reset();
    }
    loaded->category = std::move(category);
    const std::string message = "loaded category " + path;  // from here on nothing can fail
    std::shared_ptr<const Loaded> before = std::move(loaded);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        loaded_.swap(before);
    }
    log(REGAD_LOG_INFO, message);  // the one before is freed here, or by its last prediction
}

void Detector::set_threshold(double threshold) {
    if (!std::isfinite(threshold) || threshold <= 0) {
        fail(REGAD_INVALID_ARGUMENT, "threshold is ", threshold, "; expected a finite value above 0");
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!loaded_) {
        fail(REGAD_NO_CATEGORY, "no category is loaded; call regad_load_category first");
    }
    auto loaded = std::make_shared<Loaded>(*loaded_);
    loaded->threshold = threshold;
    if (loaded->warn_threshold >= threshold) {
        loaded->warn_threshold = no_warning;
    }
    loaded_ = std::move(loaded);
}

std::shared_ptr<const Detector::Loaded> Detector::loaded() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!loaded_) {
        fail(REGAD_NO_CATEGORY, "no category is loaded; call regad_load_category first");
    }
    return loaded_;
}

// Writes the input of an image that is to be scored; of another one the verdict says why not.
bool Detector::arrive(const Loaded &loaded, const regad_image &image, Workspace &workspace, unsigned char *input,
                      Verdict &verdict) {
    const InputSpec &spec = loaded.category->spec;
    workspace.preprocessor.run(image, spec, engine_.pool(), input);
    verdict.threshold = loaded.threshold;
    verdict.to_map = plainly_to_map(place(image.width, image.height, spec));
    if (!shows_part(input, loaded.category->limits, verdict)) {
        return false;
    }
    if (!loaded.part) {
        return true;
    }
    if (!workspace.finder) {
        workspace.finder.emplace();
    }
    const Arrival arrival = workspace.finder->run(*loaded.part, image, spec, engine_.pool(), input);
    verdict.registered = true;
    verdict.pose = arrival.pose;
    verdict.quality = arrival.quality;
    if (!arrival.detail.empty()) {
        refuse(REGAD_MISPLACED, arrival.detail, verdict);
        return false;
    }
    verdict.to_map = arrival.to_input;
    return true;
}

void Detector::judge(const Loaded &loaded, const regad_image *const *images, std::size_t count, Verdict *verdicts,
                     float *maps, StageTimes &times) {
    const Clock::time_point start = Clock::now();
    const Engine::Lease workspace(engine_);
    workspace->reserve(count);
    std::size_t shown = 0, which[most_images];  // the images that are scored; the others show no part
    for (std::size_t i = 0; i < count; ++i) {
        unsigned char *input = workspace->images.data() + shown * image_bytes;
        if (arrive(loaded, *images[i], *workspace, input, verdicts[i])) {
            which[shown++] = i;
        } else if (maps != nullptr) {
            std::fill_n(maps + i * map_length, map_length, INFINITY);
        }
    }
    const Clock::time_point ready = Clock::now();
    if (shown > 0) {
        engine_.encode(*workspace, shown, !engine_.uses_graph());
    }
    const Clock::time_point encoded = Clock::now();
    if (shown > 0) {
        engine_.score(*workspace, shown, *loaded.prepared);
    }
    for (std::size_t i = 0; i < shown; ++i) {
        const float *map = workspace->maps.data() + i * map_length;
        Verdict &verdict = verdicts[which[i]];
        verdict.score = workspace->scores[i];
        verdict.anomalous = static_cast<double>(verdict.score) > loaded.threshold;
        verdict.warn = !verdict.anomalous && static_cast<double>(verdict.score) > loaded.warn_threshold;
        verdict.reason = verdict.anomalous ? REGAD_ANOMALOUS : REGAD_GOOD;
        std::copy_n(workspace->theta.data() + i * theta_length, theta_length, verdict.theta);
        if (maps != nullptr) {
            std::copy_n(map, map_length, maps + which[i] * map_length);
        }
    }
    const Clock::time_point end = Clock::now();
    times.preprocess += milliseconds(start, ready);
    times.encode += milliseconds(ready, encoded);
    times.score += milliseconds(encoded, end);
    times.total += milliseconds(start, end);
}

SelfTest Detector::self_test() {
    Golden golden = artifact_.golden();
    StatisticsGroups groups(1);
    Statistics &statistics = groups[0];
    statistics.rank = golden.rank;
    for (const TensorShape &tensor : tensor_shapes(Encoding::gram, golden.rank)) {
        statistics.tensors.emplace(tensor.name, std::move(golden.tensors.at("stats." + tensor.name)));
    }
    if (artifact_.manifest().statistics_dtype == Dtype::fp16 && !statistics.narrow()) {
        fail(REGAD_ARTIFACT_ERROR, artifact_.path(), " has golden statistics that are too large for fp16; export it "
             "again: regad-export");
    }
    const std::shared_ptr<const Prepared> prepared = engine_.prepare(artifact_, std::move(groups), Scoring());
    const Engine::Lease workspace(engine_);
    workspace->reserve(golden.count);
    std::copy(golden.images.begin(), golden.images.end(), workspace->images.data());
    engine_.encode(*workspace, golden.count, true);
    engine_.score(*workspace, golden.count, *prepared);
    struct Check {
        const char *name;
        const float *got;
        float SelfTest::*error;
    };
    const Check checks[] = {{"f1", workspace->f1.data(), &SelfTest::features},
                            {"f2", workspace->f2.data(), &SelfTest::features},
                            {"f3", workspace->f3.data(), &SelfTest::features},
                            {"theta", workspace->theta.data(), &SelfTest::theta},
                            {"anomaly_map", workspace->maps.data(), &SelfTest::map},
                            {"anomaly_score", workspace->scores.data(), &SelfTest::score}};
    SelfTest result;
    for (const Check &check : checks) {
        const float error = relative_error(check.got, golden.tensors.at(check.name));
        const double tolerance = artifact_.manifest().tolerance(check.name);
        result.*check.error = std::max(result.*check.error, error);
        if (!(static_cast<double>(error) <= tolerance) && result.failure.empty()) {
            std::ostringstream text;
            text << artifact_.path() << " fails its self-test: " << check.name << " is off by " << error
                 << ", allowed " << tolerance
                 << "; do not trust its verdicts: export it again or report the device";
            result.failure = text.str();
        }
    }
    return result;
}

std::string Detector::describe() const {
    std::shared_ptr<const Loaded> loaded;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        loaded = loaded_;
    }
    const auto spec_json = [](const InputSpec &spec) {
        Json json = {{"fit", name(spec.fit)}, {"resample", name(spec.resample)}, {"roi", nullptr}};
        if (spec.has_roi) {
            json["roi"] = spec.roi;
        }
        return json;
    };
    const Manifest &manifest = artifact_.manifest();
    const Device &device = engine_.device();
    Json json = {
        {"library", {{"version", regad_version_string()}, {"kernels", kernels().name}}},
        {"onnxruntime",
         {{"library", engine_.ort().library()}, {"version", engine_.ort().version()},
          {"api", engine_.ort().api_version()}}},
        {"device", device.on_cpu() ? device.kind : device.kind + ":" + std::to_string(device.id)},
        {"scorer", engine_.uses_graph() ? "graph" : "native"},
        {"artifact",
         {{"path", artifact_.path()}, {"hash", manifest.hash}, {"dtype", manifest.dtype},
          {"statistics_dtype", name(manifest.statistics_dtype)},
          {"input", spec_json(manifest.spec)}}},
        {"category", nullptr}};
    if (loaded) {
        const Category &category = *loaded->category;
        json["category"] = {{"path", loaded->path},
                            {"hash", category.data_sha256.substr(0, 16)},
                            {"encoding", encodings_of(category.statistics)},
                            {"form", form_name(category.statistics)},
                            {"dtype", name(category.dtype)},
                            {"rank", category.statistics.front().rank},
                            {"registered", loaded->part != nullptr},
                            {"shot", category.shot},
                            {"views", category.views},
                            {"threshold", loaded->threshold},
                            {"threshold_method", category.threshold_method},
                            {"warn_threshold", nullptr},
                            {"prior", parse_json(category.threshold_prior)},
                            {"note", category.threshold_note},
                            {"input", spec_json(category.spec)}};
        if (loaded->warn_threshold < no_warning) {
            json["category"]["warn_threshold"] = loaded->warn_threshold;
        }
    }
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace regad
