// The detector behind the C ABI: an artifact, its engine, and the category in force.
#pragma once

#include <regad/regad.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <string>

#include "formats/artifact.hpp"
#include "formats/category.hpp"
#include "engine/engine.hpp"

namespace regad {

struct Settings {
    std::string device = "cpu";
    std::string onnxruntime;
    std::string provider_options;
    int threads = 0;
    regad_scorer scorer = REGAD_SCORER_AUTO;
    std::size_t max_batch = 8;
    std::size_t concurrency = 4;
};

// The verdict on one image, before it becomes a regad_result.
struct Verdict {
    double threshold = 0;
    float score = INFINITY;
    bool anomalous = true;
    bool warn = false;
    float theta[theta_length] = {};
    regad_reason reason = REGAD_NOT_JUDGED;
    char detail[sizeof regad_result::detail] = "";
    bool registered = false;  // the part was looked for: `pose` and `quality` hold
    Similarity pose;
    double quality = 0;
    Affine to_map{};  // from the image
};

struct StageTimes {
    double preprocess = 0, encode = 0, score = 0, total = 0;  // milliseconds
};

struct SelfTest {
    float features = 0, theta = 0, map = 0, score = 0;
    std::string failure;  // empty when all are within tolerance
};

class Detector {
public:
    Detector(const std::string &artifact, const Settings &settings);

    void load_category(const std::string &path);
    void set_threshold(double threshold);

    // What max_batch() may be at most.
    static constexpr std::size_t most_images = 64;
    // The largest number of images that one `judge` takes.
    std::size_t max_batch() const noexcept { return max_batch_; }
    // What predictions use until they are done with it. Throws Error (REGAD_NO_CATEGORY).
    struct Loaded;
    std::shared_ptr<const Loaded> loaded() const;
    // Judges up to max_batch() images; `maps` may be null. Adds to `times`.
    void judge(const Loaded &loaded, const regad_image *const *images, std::size_t count, Verdict *verdicts,
               float *maps, StageTimes &times);

    SelfTest self_test();
    std::string describe() const;

private:
    bool arrive(const Loaded &loaded, const regad_image &image, Workspace &workspace, unsigned char *input,
                Verdict &verdict);

    Artifact artifact_;
    std::size_t max_batch_;
    Engine engine_;
    mutable std::mutex mutex_;  // guards loaded_
    std::shared_ptr<const Loaded> loaded_;
};

}  // namespace regad
