// Pillow's resampler, byte for byte: from a part of a source image to the encoder's square input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.hpp"
#include "core/pool.hpp"
#include "core/sizes.hpp"

namespace regad {

enum class Resample { box, lanczos, bilinear };

// Bytes of a pixel, and where its red, green and blue lie.
struct Layout {
    int channels;
    int order[3];
};

// A source image in memory of someone else. A negative stride walks up from the bottom row.
struct Pixels {
    const unsigned char *data;
    int width, height;
    std::int64_t stride;  // from one row to the next
    Layout layout;

    const unsigned char *row(int y) const noexcept { return data + static_cast<std::ptrdiff_t>(stride) * y; }
};

// Where a part of the source image lands in the square input (preprocess.place in Python).
struct Placement {
    int left = 0, top = 0, right = 0, bottom = 0;        // in the source
    int x = 0, y = 0, width = 0, height = 0;             // in the input
};

// One dimension of the resampling: for each output the first input, how many, and their weights.
struct Axis {
    int in = 0, out = 0;
    float from = 0, to = 0;
    Resample filter = Resample::box;
    std::size_t taps = 0;
    bool flat = false;  // the weights of each output are all the same
    std::vector<std::int32_t> bounds;
    std::vector<std::int32_t> weights;

    // Computes the weights unless they are those of the last call.
    void prepare(int in_size, float in_from, float in_to, int out_size, Resample resample);
};

// Reusable memory: images of one size allocate nothing after the first.
class Resampler {
public:
    // Writes uint8 RGB [224, 224, 3], 0 outside of the placement. Throws std::bad_alloc.
    void run(const Pixels &image, const Placement &spot, Resample filter, Pool &pool, unsigned char *out);

private:
    Axis columns_, rows_;
    Buffer<unsigned char> narrow_;  // after the horizontal pass
};

}  // namespace regad
