// The plane that a part is found in (runtime/imaging/plane.py is the plain form): a square of 256 cells round the middle of
// the region of interest, whose longest side takes 192 of them, sampled once from the camera's pixels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/buffer.hpp"
#include "core/pool.hpp"
#include "core/resample.hpp"

namespace regad {

constexpr int plane_side = 256;    // cells
constexpr int region_cells = 192;  // of the region of interest's longest side

// Left, top, right, bottom, cells.
struct Region {
    double left, top, right, bottom;
};

// The region of interest in a frame, source pixels.
struct Box {
    int left, top, right, bottom;
};

// Reusable memory: frames of one size allocate nothing after the first.
class Plane {
public:
    // `stretched`: the input ignores the aspect ratio, so the shorter side needs more detail. Throws std::bad_alloc.
    void sample(const Pixels &image, const Box &box, bool stretched, Pool &pool);

    // Bytes red, green, blue, 0: the part of the plane that the frame covers.
    const std::uint32_t *pixels() const noexcept { return pixels_.data(); }
    int width() const noexcept { return width_; }
    int height() const noexcept { return height_; }
    // Where it begins, plane pixels.
    int left() const noexcept { return left_; }
    int top() const noexcept { return top_; }
    // Plane pixels a cell.
    int density() const noexcept { return density_; }
    Region region() const noexcept;
    // The cells in one channel, [256][256]; beyond what the frame covers, the nearest pixel.
    void grey(const float *weights, Pool &pool, float *cells);

private:
    Axis columns_, rows_;
    Buffer<unsigned char> low_;
    Buffer<std::uint32_t> pixels_;
    int width_ = 0, height_ = 0, left_ = 0, top_ = 0, density_ = 2;
};

}  // namespace regad
