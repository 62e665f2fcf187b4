#include "core/smoothing.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels.hpp"
#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr int radius = 16;  // scipy's int(truncate * sigma + 0.5)
constexpr double sigma = 4.0;

Smoothing make_smoothing() {
    const std::vector<float> dense = smoothing_matrix();
    Smoothing result;
    std::vector<int> last(map_size);
    for (int row = 0; row < map_size; ++row) {
        const float *values = dense.data() + row * grid1;
        const auto nonzero = [](float value) { return value != 0.0F; };
        const float *begin = std::find_if(values, values + grid1, nonzero);
        const float *end = values + grid1;
        while (end[-1] == 0.0F) {
            --end;
        }
        result.first.push_back(static_cast<std::int32_t>(begin - values));
        result.taps = std::max(result.taps, static_cast<std::size_t>(end - begin));
    }
    for (int row = 0; row < map_size; ++row) {
        std::int32_t &first = result.first[static_cast<std::size_t>(row)];
        first = std::min(first, static_cast<std::int32_t>(grid1 - static_cast<int>(result.taps)));
        const float *values = dense.data() + row * grid1 + first;
        result.weights.insert(result.weights.end(), values, values + result.taps);
    }
    return result;
}

void transpose(const float *in, std::size_t rows, std::size_t columns, float *out) {
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t column = 0; column < columns; ++column) {
            out[column * rows + row] = in[row * columns + column];
        }
    }
}

}  // namespace

std::vector<float> smoothing_matrix() {
    double kernel[2 * radius + 1];
    double total = 0;
    for (int i = -radius; i <= radius; ++i) {
        kernel[i + radius] = std::exp(-0.5 * (i / sigma) * (i / sigma));
        total += kernel[i + radius];
    }
    std::vector<float> matrix;
    for (int row = 0; row < map_size; ++row) {
        double line[grid1] = {};
        for (int i = -radius; i <= radius; ++i) {
            int source = row + i;  // scipy's "reflect": the edge pixel is repeated
            source = source < 0 ? -1 - source : source >= map_size ? 2 * map_size - 1 - source : source;
            const double position = std::max((source + 0.5) * grid1 / map_size - 0.5, 0.0);
            const int low = static_cast<int>(position);
            const int high = std::min(low + 1, grid1 - 1);
            const double weight = kernel[i + radius] / total;
            line[low] += weight * (1 - (position - low));
            line[high] += weight * (position - low);
        }
        for (const double value : line) {
            matrix.push_back(static_cast<float>(value));
        }
    }
    return matrix;
}

const Smoothing &smoothing() {
    static const Smoothing once = make_smoothing();
    return once;
}

float smooth(const float *distances, float *workspace, float *map) {
    const Smoothing &a = smoothing();
    const Kernels &k = kernels();
    float *turned = workspace;
    float *wide = turned + grid1 * grid1;
    float *wide_turned = wide + map_size * grid1;
    transpose(distances, grid1, grid1, turned);
    k.band(a.weights.data(), a.first.data(), a.taps, map_size, turned, grid1, wide);
    transpose(wide, map_size, grid1, wide_turned);
    k.band(a.weights.data(), a.first.data(), a.taps, map_size, wide_turned, map_size, map);
    return *std::max_element(map, map + map_length);
}

}  // namespace regad
