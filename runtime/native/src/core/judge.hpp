// From distances to the map and the score; runtime/formats/scoring.py defines both.
#pragma once

#include <cstddef>
#include <vector>

#include "core/buffer.hpp"
#include "core/sizes.hpp"
#include "core/smoothing.hpp"

namespace regad {

// The groups of levels that are scored, by their finest: RegAD's one, or f2 and f3 alone.
using Groups = std::vector<std::size_t>;

// Distances of one image: all of a group's positions after another's.
std::size_t positions_of(const Groups &groups);

struct Scoring {
    Groups groups{1};
    std::size_t cells = 0;  // the score is the mean of so many of the last group's largest; 0: the map's largest value
    Buffer<float> scale;    // what the last group's distances are multiplied by for the score; empty: 1
    float map_gain = 1;     // what the product of two groups is multiplied by for the map
};

constexpr std::size_t judging_workspace = smoothing_workspace + positions1;
// Writes the map [224, 224] of one image's distances, a pointer for each group, and returns the score; `workspace` of
// judging_workspace floats.
float judge(const Scoring &scoring, const float *const *distances, float *workspace, float *map);
// The same of every image of a batch, whose distances are [group][batch, positions].
void judge(const Scoring &scoring, const float *distances, std::size_t batch, float *workspace, float *maps,
           float *scores);

}  // namespace regad
