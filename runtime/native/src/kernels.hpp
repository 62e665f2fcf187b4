// The inner loops, compiled once for each instruction set; `kernels()` picks the best one this processor has.
// Matrices are row-major; `columns` is a multiple of 32. Loads may reach up to 32 bytes past the end of a packed
// triangle or vector: those bytes must be readable and finite (Buffer's padding is).
#pragma once

#include <cstddef>
#include <cstdint>

namespace regad {

struct Kernels {
    const char *name;
    // out = a - b; returns |out|^2.
    float (*subtract)(const float *a, const float *b, std::size_t count, float *out);
    // out (+)= m v for m [rows, columns].
    void (*multiply)(const float *m, std::size_t rows, std::size_t columns, const float *v, bool add, float *out);
    // out -= m^T v for m [rows, columns].
    void (*subtract_transposed)(const float *m, std::size_t rows, std::size_t columns, const float *v, float *out);
    // out (+)= T y for a packed lower triangle T, of which `packed` holds the rows `first` to `last` - 1; out[first]
    // to out[last - 1] are written.
    void (*triangle)(const float *packed, std::size_t first, std::size_t last, const float *y, bool add, float *out);
    // total + |T y + c|^2 over those rows; c may be null.
    double (*triangle_norm2)(const float *packed, std::size_t first, std::size_t last, const float *y, const float *c,
                             double total);
    // out += T^T z over those rows, `out` with room for 8 more floats.
    void (*triangle_transposed)(const float *packed, std::size_t first, std::size_t last, const float *z, float *out);
    // float16 to float32, exactly. Up to 7 more are read and written.
    void (*widen)(const std::uint16_t *halves, std::size_t count, float *out);
    // out[row] = sum over taps k of weights[row][k] * in[first[row] + k], rows of `columns` floats.
    void (*band)(const float *weights, const std::int32_t *first, std::size_t taps, std::size_t rows,
                 const float *in, std::size_t columns, float *out);
    // One row of Pillow's horizontal pass: `channels` (1, 3 or 4) bytes a pixel in, min(channels, 3) out.
    void (*horizontal)(const unsigned char *row, std::size_t width, int channels, const std::int32_t *bounds,
                       const std::int32_t *coefficients, std::size_t taps, std::size_t out_width, unsigned char *out);
    // One row of Pillow's vertical pass over `count` bytes.
    void (*vertical)(const unsigned char *in, std::size_t stride, std::size_t rows, const std::int32_t *coefficients,
                     std::size_t count, unsigned char *out);
};

extern const Kernels kernels_base;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

// The best set for this processor; chosen once.
const Kernels &kernels() noexcept;

}  // namespace regad
