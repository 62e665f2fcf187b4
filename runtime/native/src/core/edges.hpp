// How much of an edge each pixel of a plane's cells is, at three resolutions (runtime/imaging/plane.py, `edges`).
#pragma once

#include <cstddef>

#include "core/buffer.hpp"
#include "core/plane.hpp"
#include "core/pool.hpp"

namespace regad {

constexpr std::size_t edge_levels = 3;
constexpr int edge_side(std::size_t level) { return plane_side / 4 << level; }

// Whole pixels; right and bottom are excluded.
struct Rectangle {
    int left, top, right, bottom;
};

// The whole pixels of an image of `size` that a region of the plane covers, less a margin; never empty.
Rectangle covered(const Region &region, int size, int margin);

struct Edges {
    Edges();
    // From the cells [256][256], of which a frame covers `region`.
    void compute(const float *grey, const Region &region, Pool &pool);

    Buffer<float> level[edge_levels];  // 64, 128 and 256 pixels a side

private:
    Buffer<float> half_, quarter_, smooth_, slope_;
};

}  // namespace regad
