// The inner loops of the registration, compiled once for each instruction set like those of kernels.hpp, whose table
// holds them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace regad {

constexpr int coarse_cells = 64;                       // side of the search by correlation
constexpr std::size_t coarse_length = 64 * 64;
constexpr std::size_t track_sums = 18;

// One row of a template compared with a query. Rows are padded with zeros to a multiple of 16.
struct TrackRow {
    const float *image;               // the query's edges, size * size
    std::int32_t size;
    float x, y, step_x, step_y;       // pixel-index coordinates in it of the row's first pixel; from one to the next
    float left, top, right, bottom;   // what the frame covers, inclusive
    std::int32_t count;
    const float *values;              // the template's edges
    const float *steepest[4];
};

// One row of the input sampled from a plane.
struct WarpRow {
    const std::uint32_t *pixels;      // bytes red, green, blue, 0
    std::int32_t width, height;       // at least 2 each
    float x, y, step_x, step_y;       // plane coordinates (pixel edges whole) of the first sample; from one to the next
    std::int32_t count;
};

struct PoseKernels {
    // A Fourier transform along the first axis of [64][64] complex numbers, unscaled. Forward: from natural order to
    // order of reversed base-4 digits; inverse: from that order back.
    void (*forward)(float *re, float *im);
    void (*inverse)(float *re, float *im);
    void (*transpose)(const float *in, float *out);  // [64][64]
    // out = a b, complex, 4096 of them.
    void (*multiply)(const float *a_re, const float *a_im, const float *b_re, const float *b_im, float *re, float *im);
    // Adds to sums: m, q, q q, q t, m t, m t t, then q s_j, m s_j, m s_j t for the four steepest images s; m is 1 where
    // the query is covered, q its bilinear sample there and 0 elsewhere.
    void (*track)(const TrackRow &row, double *sums);
    // Adds red, green, blue and coverage of bilinear samples to out[4][count padded to 16].
    void (*warp)(const WarpRow &row, float *out, std::size_t stride);
    // out = the three rows weighted by 1 2 1, neighbours too, / 16; ends are repeated.
    void (*smooth)(const float *above, const float *here, const float *below, std::size_t count, float *out);
    // out = the gradient's magnitude, 0 across at the ends; above == below at the first and last row: 0 down.
    void (*slope)(const float *above, const float *here, const float *below, std::size_t count, float *out);
    // out = v / (v + c).
    void (*saturate)(float *values, std::size_t count, float c);
    // One row of Pillow's vertical pass over `count` bytes from rows `stride` bytes apart; `flat`: all weights are equal.
    void (*shrink)(const unsigned char *in, std::int64_t stride, std::size_t rows, const std::int32_t *coefficients,
                   bool flat, std::size_t count, unsigned char *out);
    // out += weights of red, green, blue.
    void (*grey)(const std::uint32_t *pixels, std::size_t count, const float *weights, float *out);
};

}  // namespace regad
