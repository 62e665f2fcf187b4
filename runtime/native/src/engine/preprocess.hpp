// From a source image to the encoder's input, byte for byte as runtime/imaging/preprocess.py (Pillow's resampler) does it.
#pragma once

#include <regad/regad.h>

#include "core/pool.hpp"
#include "core/resample.hpp"
#include "formats/spec.hpp"

namespace regad {

// Throws Error if the region of interest lies outside the image.
Placement place(int width, int height, const InputSpec &spec);

// The image's pixels. Throws Error for an image that cannot be used.
Pixels pixels_of(const regad_image &image);

// Reusable memory: images of one size and specification allocate nothing after the first.
class Preprocessor {
public:
    // Writes uint8 RGB [224, 224, 3]. Throws Error for an image that cannot be used.
    void run(const regad_image &image, const InputSpec &spec, Pool &pool, unsigned char *out);

private:
    Resampler resampler_;
};

// Throws Error (REGAD_INVALID_ARGUMENT, REGAD_INPUT_ERROR) unless the image can be read.
void check_image(const regad_image &image);

}  // namespace regad
