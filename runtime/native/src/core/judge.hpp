// From distances to the map and the score; runtime/formats/scoring.py defines both.
#pragma once

#include <cstddef>

#include "core/buffer.hpp"
#include "core/smoothing.hpp"

namespace regad {

struct Scoring {
    std::size_t grid = 56;  // side of the grid of distances: 56, 28 or 14
    std::size_t cells = 0;  // the score is the mean of so many of the largest distances; 0: the map's largest value
    // What a distance is multiplied by, [grid, grid]. Empty: 1.
    Buffer<float> score_factors, map_factors;
};

constexpr std::size_t judging_workspace = smoothing_workspace + 56 * 56;
// Writes the map [224, 224] of distances [grid, grid] and returns the score; `workspace` of judging_workspace floats.
float judge(const Scoring &scoring, const float *distances, float *workspace, float *map);

}  // namespace regad
