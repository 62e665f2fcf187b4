#include "core/judge.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "core/statistics.hpp"

namespace regad {
namespace {

void multiply(const float *values, const Buffer<float> &factors, std::size_t count, float *out) {
    if (factors.size() == 0) {
        std::copy_n(values, count, out);
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = values[i] * factors[i];
    }
}

// The values are put into another order. Their sum in double is exact unless they differ by a factor of 2^17 or more.
float top_mean(float *values, std::size_t count, std::size_t cells) {
    if (!all_finite(values, count)) {
        return std::numeric_limits<float>::quiet_NaN();
    }
    std::nth_element(values, values + cells - 1, values + count, std::greater<float>());
    return static_cast<float>(std::accumulate(values, values + cells, 0.0) / static_cast<double>(cells));
}

}  // namespace

float judge(const Scoring &scoring, const float *distances, float *workspace, float *map) {
    const std::size_t count = scoring.grid * scoring.grid;
    float *values = workspace + smoothing_workspace;
    multiply(distances, scoring.map_factors, count, values);
    const float highest = smooth(values, scoring.grid, workspace, map);
    if (scoring.cells == 0) {
        return highest;
    }
    multiply(distances, scoring.score_factors, count, values);
    return top_mean(values, count, scoring.cells);
}

}  // namespace regad
