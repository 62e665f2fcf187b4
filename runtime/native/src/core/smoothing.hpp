// From the distances to the 224x224 anomaly map: upsampling and the Gaussian in one banded matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace regad {

// A [224, grid] of runtime/scoring/reference.py, row by row only where it is not zero.
struct Smoothing {
    std::size_t taps = 0;
    std::vector<float> weights;        // [224, taps]
    std::vector<std::int32_t> first;   // [224]
};

// For the grid of RegAD's map, 56 cells a side and a Gaussian of 4 pixels, or of the product's, 28 and 2; made once.
const Smoothing &smoothing(std::size_t grid);
// The dense matrix, [224, grid]; for tests.
std::vector<float> smoothing_matrix(std::size_t grid);

constexpr std::size_t smoothing_workspace = 56 * 56 + 2 * 224 * 56;
// map [224, 224] = A values A^T for values [grid, grid]; `workspace` of smoothing_workspace floats.
// Returns the largest value of the map.
float smooth(const float *values, std::size_t grid, float *workspace, float *map);
// out [28, 28]: bilinear upsampling of values [14, 14], align_corners=False; `workspace` of 14 floats.
void upsample_twice(const float *values, float *workspace, float *out);

}  // namespace regad
