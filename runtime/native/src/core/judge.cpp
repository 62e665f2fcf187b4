#include "core/judge.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/statistics.hpp"

namespace regad {
namespace {

// The values are put into another order. Their sum in double is exact unless they differ by a factor of 2^17 or more.
float top_mean(float *values, std::size_t count, std::size_t cells) {
    if (!all_finite(values, count)) {
        return std::numeric_limits<float>::quiet_NaN();
    }
    std::nth_element(values, values + cells - 1, values + count, std::greater<float>());
    return static_cast<float>(std::accumulate(values, values + cells, 0.0) / static_cast<double>(cells));
}

}  // namespace

std::size_t positions_of(const Groups &groups) {
    std::size_t count = 0;
    for (const std::size_t finest : groups) {
        count += positions_of(finest);
    }
    return count;
}

float judge(const Scoring &scoring, const float *const *distances, float *workspace, float *map) {
    float *values = workspace + smoothing_workspace;
    float highest = 0;
    if (scoring.groups.size() == 1) {
        highest = smooth(distances[0], grid_of(scoring.groups[0]), workspace, map);
    } else {
        upsample_twice(distances[1], workspace, values);
        for (std::size_t i = 0; i < positions2; ++i) {
            values[i] = std::sqrt(distances[0][i] * values[i]) * scoring.map_gain;
        }
        smooth(values, grid2, workspace, map);
    }
    if (scoring.cells == 0) {
        return highest;
    }
    const std::size_t count = positions_of(scoring.groups.back());
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = distances[scoring.groups.size() - 1][i] * (scoring.scale.size() == 0 ? 1.0F : scoring.scale[i]);
    }
    return top_mean(values, count, scoring.cells);
}

void judge(const Scoring &scoring, const float *distances, std::size_t batch, float *workspace, float *maps,
           float *scores) {
    const std::size_t first = positions_of(scoring.groups.front()), last = positions_of(scoring.groups.back());
    for (std::size_t i = 0; i < batch; ++i) {
        const float *groups[] = {distances + i * first, distances + batch * first + i * last};
        scores[i] = judge(scoring, groups, workspace, maps + i * map_length);
    }
}

}  // namespace regad
