// The sizes fixed by RegAD's encoder.
#pragma once

#include <cstddef>

namespace regad {

constexpr int input_size = 224;
constexpr int map_size = 224;
constexpr int grid1 = 56, grid2 = 28, grid3 = 14;
constexpr std::size_t positions1 = 3136, positions2 = 784, positions3 = 196;
constexpr std::size_t channels1 = 64, channels2 = 128, channels3 = 256;
constexpr std::size_t theta_length = 3 * 2 * 3;
constexpr std::size_t image_bytes = std::size_t{input_size} * input_size * 3;
constexpr std::size_t map_length = std::size_t{map_size} * map_size;
constexpr double epsilon = 0.01;

// One feature map of the batch's first image, positions row-major.
struct Features {
    const float *f1;  // [B, 3136, 64]
    const float *f2;  // [B, 784, 128]
    const float *f3;  // [B, 196, 256]
};

}  // namespace regad
