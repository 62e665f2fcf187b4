// The sizes fixed by RegAD's encoder.
#pragma once

#include <cstddef>

namespace regad {

constexpr int input_size = 224;
constexpr int map_size = 224;
constexpr int largest_side = 65535;  // of a source image, in pixels
constexpr int grid1 = 56, grid2 = 28, grid3 = 14;
constexpr std::size_t positions1 = 3136, positions2 = 784, positions3 = 196;
// Levels are numbered from fine, 1, to coarse, 3. A group of levels that share a Gaussian is named after its finest: 1 is
// RegAD's, of all three; 2 and 3 are of one level alone.
constexpr std::size_t coarsest = 3;
constexpr std::size_t coarsest_of(std::size_t finest) { return finest == 1 ? coarsest : finest; }
constexpr std::size_t grid_of(std::size_t level) { return std::size_t{grid1} >> (level - 1); }
constexpr std::size_t positions_of(std::size_t level) { return grid_of(level) * grid_of(level); }
constexpr std::size_t channels1 = 64, channels2 = 128, channels3 = 256;
constexpr std::size_t channels_of(std::size_t level) { return channels1 << (level - 1); }
constexpr std::size_t theta_length = 3 * 2 * 3;
constexpr std::size_t image_bytes = std::size_t{input_size} * input_size * 3;
constexpr std::size_t map_length = std::size_t{map_size} * map_size;
constexpr double epsilon = 0.01;

// The feature maps of a batch, positions row-major. A level that is not scored may be null.
struct Features {
    const float *f1;  // [B, 3136, 64]
    const float *f2;  // [B, 784, 128]
    const float *f3;  // [B, 196, 256]
};

}  // namespace regad
