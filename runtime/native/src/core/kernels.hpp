// The inner loops, compiled once for each instruction set; `kernels()` picks the best one this processor has.
// Matrices are row-major; `columns` is a multiple of 64; for `multiply` of 16, or 0. Loads may reach up to 64 bytes past
// the end of a packed triangle or vector: those bytes must be readable and finite (Buffer's padding is).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/pose_kernels.hpp"

namespace regad {

// Products with statistics that are stored as T: float, or IEEE binary16 in std::uint16_t, widened exactly as it is read.
template <typename T>
struct Products {
    // out (+)= m v for m [rows, columns].
    void (*multiply)(const T *m, std::size_t rows, std::size_t columns, const float *v, bool add, float *out);
    // out -= m^T v for m [rows, columns].
    void (*subtract_transposed)(const T *m, std::size_t rows, std::size_t columns, const float *v, float *out);
    // out = T y for the packed lower triangle T of `size` rows; returns |out|^2.
    double (*triangle)(const T *packed, std::size_t size, const float *y, float *out);
    // |T y + c|^2; c may be null.
    double (*triangle_norm2)(const T *packed, std::size_t size, const float *y, const float *c);
    // out = T^T z, `out` with room for 16 more floats.
    void (*triangle_transposed)(const T *packed, std::size_t size, const float *z, float *out);
};

struct Kernels {
    const char *name;
    Products<float> wide;
    Products<std::uint16_t> half;
    // out = a - b; returns |out|^2.
    float (*subtract)(const float *a, const float *b, std::size_t count, float *out);
    // binary16 to float32, exactly. Up to 15 more are read and written.
    void (*widen)(const std::uint16_t *halves, std::size_t count, float *out);
    // out[row] = sum over taps k of weights[row][k] * in[first[row] + k], rows of `columns` floats (14, 28, 56 or 224),
    // from top to bottom; up to 8 floats behind `in` are read and behind `out` are written.
    void (*band)(const float *weights, const std::int32_t *first, std::size_t taps, std::size_t rows,
                 const float *in, std::size_t columns, float *out);
    // One row of Pillow's horizontal pass: `channels` (1, 3 or 4) bytes a pixel in, min(channels, 3) out.
    void (*horizontal)(const unsigned char *row, std::size_t width, int channels, const std::int32_t *bounds,
                       const std::int32_t *coefficients, std::size_t taps, std::size_t out_width, unsigned char *out);
    // The same where the coefficients of each output are all the same.
    void (*horizontal_flat)(const unsigned char *row, std::size_t width, int channels, const std::int32_t *bounds,
                            const std::int32_t *coefficients, std::size_t taps, std::size_t out_width,
                            unsigned char *out);
    // One row of Pillow's vertical pass over `count` bytes.
    void (*vertical)(const unsigned char *in, std::size_t stride, std::size_t rows, const std::int32_t *coefficients,
                     std::size_t count, unsigned char *out);
    PoseKernels pose;
};

template <typename T>
const Products<T> &products(const Kernels &kernels) noexcept;
template <>
inline const Products<float> &products(const Kernels &kernels) noexcept {
    return kernels.wide;
}
template <>
inline const Products<std::uint16_t> &products(const Kernels &kernels) noexcept {
    return kernels.half;
}

extern const Kernels kernels_base;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

// The best set for this processor; chosen once.
const Kernels &kernels() noexcept;

}  // namespace regad
