// How a score is made, as a manifest and a category say it: runtime/formats/scoring.py.
#pragma once

#include "core/buffer.hpp"
#include "core/judge.hpp"
#include "formats/json.hpp"

namespace regad {

// What held-out good parts show: the scale [g, g] of the last group, and a norm for each.
struct Calibration {
    Buffer<float> scale, norms;
};

struct ScoringSpec {
    Groups groups{1};
    std::size_t cells = 0;    // 0: the map's largest value
    bool calibrated = false;  // whether a category has a calibration
    double map_gain = 1;      // of the product of two groups

    // Throws std::runtime_error for anything that Python would not have written.
    static ScoringSpec from_json(const Json &scoring);
    // What the scorer does with a category's calibration.
    Scoring with(Calibration calibration) const;
};

}  // namespace regad
