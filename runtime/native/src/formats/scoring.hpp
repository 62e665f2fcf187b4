// How a score is made, as a manifest and a category say it: runtime/formats/scoring.py.
#pragma once

#include "core/buffer.hpp"
#include "core/judge.hpp"
#include "formats/json.hpp"

namespace regad {

struct ScoringSpec {
    std::size_t finest = 1;       // the first level that is scored: 1, 2 or 3
    std::size_t cells = 0;        // 0: the map's largest value
    bool calibrated = false;      // whether a category may have a scale
    bool calibrated_map = false;  // whether the map that is shown is multiplied by it
    float map_gain = 1;

    // Throws std::runtime_error for anything that Python would not have written.
    static ScoringSpec from_json(const Json &scoring);
    // What the scorer does with a category's scale [g, g]; empty: 1 everywhere.
    Scoring with(const Buffer<float> &scale) const;
};

}  // namespace regad
