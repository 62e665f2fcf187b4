#include "core/smoothing.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels.hpp"
#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr int radius = 16;  // scipy's int(truncate * sigma + 0.5)
constexpr double sigma = 4.0;

Smoothing make_smoothing(std::size_t grid) {
    const std::vector<float> dense = smoothing_matrix(grid);
    const auto cells = static_cast<int>(grid);
    Smoothing result;
    std::vector<int> last(map_size);
    for (int row = 0; row < map_size; ++row) {
        const float *values = dense.data() + row * cells;
        const auto nonzero = [](float value) { return value != 0.0F; };
        const float *begin = std::find_if(values, values + cells, nonzero);
        const float *end = values + cells;
        while (end[-1] == 0.0F) {
            --end;
        }
        result.first.push_back(static_cast<std::int32_t>(begin - values));
        result.taps = std::max(result.taps, static_cast<std::size_t>(end - begin));
    }
    for (int row = 0; row < map_size; ++row) {
        std::int32_t &first = result.first[static_cast<std::size_t>(row)];
        first = std::min(first, static_cast<std::int32_t>(cells - static_cast<int>(result.taps)));
        const float *values = dense.data() + row * cells + first;
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

std::vector<float> smoothing_matrix(std::size_t grid) {
    double kernel[2 * radius + 1];
    double total = 0;
    for (int i = -radius; i <= radius; ++i) {
        kernel[i + radius] = std::exp(-0.5 * (i / sigma) * (i / sigma));
        total += kernel[i + radius];
    }
    const int step = grid1 / static_cast<int>(grid);  // nearest, from the grid to that of f1
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
            line[low / step] += weight * (1 - (position - low));
            line[high / step] += weight * (position - low);
        }
        for (std::size_t cell = 0; cell < grid; ++cell) {
            matrix.push_back(static_cast<float>(line[cell]));
        }
    }
    return matrix;
}

const Smoothing &smoothing(std::size_t grid) {
    static const Smoothing made[coarsest] = {make_smoothing(grid_of(1)), make_smoothing(grid_of(2)),
                                             make_smoothing(grid_of(3))};
    return made[grid == grid_of(1) ? 0 : grid == grid_of(2) ? 1 : 2];
}

float smooth(const float *values, std::size_t grid, float *workspace, float *map) {
    const Smoothing &a = smoothing(grid);
    const Kernels &k = kernels();
    float *turned = workspace;
    float *wide = turned + grid * grid;
    float *wide_turned = wide + map_size * grid;
    transpose(values, grid, grid, turned);
    k.band(a.weights.data(), a.first.data(), a.taps, map_size, turned, grid, wide);
    transpose(wide, map_size, grid, wide_turned);
    k.band(a.weights.data(), a.first.data(), a.taps, map_size, wide_turned, map_size, map);
    return *std::max_element(map, map + map_length);
}

}  // namespace regad
