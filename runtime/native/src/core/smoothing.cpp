#include "core/smoothing.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/kernels.hpp"
#include "core/sizes.hpp"

namespace regad {
namespace {

// Between the cells of a grid that the middle of each of `size` pixels lies, and how near to the second.
struct Between {
    std::size_t low, high;
    double weight;
};

Between between(int pixel, int size, int cells) {
    const double position = std::max((pixel + 0.5) * cells / size - 0.5, 0.0);
    const int low = static_cast<int>(position);
    return {static_cast<std::size_t>(low), static_cast<std::size_t>(std::min(low + 1, cells - 1)), position - low};
}

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
    const double sigma = grid == grid1 ? 4.0 : 2.0;
    const int radius = static_cast<int>(4 * sigma + 0.5);  // scipy's, truncate 4
    std::vector<double> kernel;
    double total = 0;
    for (int i = -radius; i <= radius; ++i) {
        kernel.push_back(std::exp(-0.5 * (i / sigma) * (i / sigma)));
        total += kernel.back();
    }
    std::vector<float> matrix;
    for (int row = 0; row < map_size; ++row) {
        std::vector<double> line(grid);
        for (int i = -radius; i <= radius; ++i) {
            int source = row + i;  // scipy's "reflect": the edge pixel is repeated
            source = source < 0 ? -1 - source : source >= map_size ? 2 * map_size - 1 - source : source;
            const Between cells = between(source, map_size, static_cast<int>(grid));
            const double weight = kernel[static_cast<std::size_t>(i + radius)] / total;
            line[cells.low] += weight * (1 - cells.weight);
            line[cells.high] += weight * cells.weight;
        }
        std::transform(line.begin(), line.end(), std::back_inserter(matrix),
                       [](double value) { return static_cast<float>(value); });
    }
    return matrix;
}

const Smoothing &smoothing(std::size_t grid) {
    static const Smoothing raw = make_smoothing(grid1), product = make_smoothing(grid2);
    return grid == grid1 ? raw : product;
}

void upsample_twice(const float *values, float *workspace, float *out) {
    for (int row = 0; row < grid2; ++row) {
        const Between rows = between(row, grid2, grid3);
        const auto weight = static_cast<float>(rows.weight);
        for (std::size_t x = 0; x < grid3; ++x) {
            workspace[x] = (1 - weight) * values[rows.low * grid3 + x] + weight * values[rows.high * grid3 + x];
        }
        for (int column = 0; column < grid2; ++column) {
            const Between columns = between(column, grid2, grid3);
            const auto right = static_cast<float>(columns.weight);
            out[row * grid2 + column] = (1 - right) * workspace[columns.low] + right * workspace[columns.high];
        }
    }
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
