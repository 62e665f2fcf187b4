// What a frame does not show of a registered part, from the first support image in this frame's light:
// runtime/imaging/filling.py, compiled.
#pragma once

#include "core/buffer.hpp"
#include "core/sizes.hpp"

namespace regad {

// Reusable memory.
class Filling {
public:
    Filling();
    // Fills the positions of the input `image`, uint8 RGB [224][224][3], that are seen, [56][56], less than whole, from
    // `reference`, like the image.
    void run(const unsigned char *reference, const float *seen, unsigned char *image);

private:
    void pull();
    void smooth();
    void paint(const unsigned char *reference, unsigned char *image) const;

    Buffer<unsigned char> whole_;  // of 56, 28, 14 and 7 cells a side, one after another
    Buffer<float> light_;          // three values a cell, the same
    Buffer<float> next_;
};

}  // namespace regad
