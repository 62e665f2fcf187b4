// From the 56x56 distances to the 224x224 anomaly map: bilinear upsampling and the Gaussian in one banded matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace regad {

// A [224, 56] of runtime/scoring/reference.py, row by row only where it is not zero.
struct Smoothing {
    std::size_t taps = 0;
    std::vector<float> weights;        // [224, taps]
    std::vector<std::int32_t> first;   // [224]
};

const Smoothing &smoothing();
// The dense matrix, [224, 56]; for tests.
std::vector<float> smoothing_matrix();

constexpr std::size_t smoothing_workspace = 56 * 56 + 2 * 224 * 56;
// map [224, 224] = A distances A^T for distances [56, 56]; `workspace` of smoothing_workspace floats.
// Returns the largest value of the map.
float smooth(const float *distances, float *workspace, float *map);

}  // namespace regad
