// From a source image to the encoder's input, byte for byte as runtime/preprocess.py (Pillow's resampler) does it.
#pragma once

#include <regad/regad.h>

#include <array>
#include <vector>

#include "buffer.hpp"
#include "pool.hpp"
#include "spec.hpp"

namespace regad {

// Where a part of the source image lands in the square input (preprocess.place in Python).
struct Placement {
    int left = 0, top = 0, right = 0, bottom = 0;        // in the source
    int x = 0, y = 0, width = 0, height = 0;             // in the input
};

// Throws Error if the region of interest lies outside the image.
Placement place(int width, int height, const InputSpec &spec);

// One dimension of the resampling: for each output the first input, how many, and their weights.
struct Axis {
    int in = 0, out = 0;
    float from = 0, to = 0;
    Resample filter = Resample::box;
    std::size_t taps = 0;
    std::vector<std::int32_t> bounds;
    std::vector<std::int32_t> weights;

    // Computes the weights unless they are those of the last call.
    void prepare(int in_size, float in_from, float in_to, int out_size, Resample resample);
};

// Reusable memory: images of one size and specification allocate nothing after the first.
class Preprocessor {
public:
    // Writes uint8 RGB [224, 224, 3]. Throws Error for an image that cannot be used.
    void run(const regad_image &image, const InputSpec &spec, Pool &pool, unsigned char *out);

private:
    void resample(const regad_image &image, const Placement &spot, Pool &pool, unsigned char *out);

    Axis columns_, rows_;
    Buffer<unsigned char> narrow_;  // after the horizontal pass
};

// Throws Error (REGAD_INVALID_ARGUMENT, REGAD_INPUT_ERROR) unless the image can be read.
void check_image(const regad_image &image);

}  // namespace regad
