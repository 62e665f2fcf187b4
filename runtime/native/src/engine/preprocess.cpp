#include "engine/preprocess.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"

namespace regad {
namespace {

constexpr Layout layouts[] = {{3, {0, 1, 2}}, {3, {2, 1, 0}}, {4, {0, 1, 2}}, {4, {2, 1, 0}}, {1, {0, 0, 0}}};

std::int64_t stride_of(const regad_image &image) {
    const Layout &layout = layouts[image.format];
    return image.stride != 0 ? image.stride : std::int64_t{image.width} * layout.channels;
}

}  // namespace

void check_image(const regad_image &image) {
    if (image.data == nullptr) {
        fail(REGAD_INVALID_ARGUMENT, "image.data is NULL; pass the pixels");
    }
    if (image.format < REGAD_FORMAT_RGB || image.format > REGAD_FORMAT_GRAY) {
        fail(REGAD_INVALID_ARGUMENT, "image.format is ", image.format, "; expected a REGAD_FORMAT_ value");
    }
    if (image.width < 1 || image.height < 1 || image.width > largest_side || image.height > largest_side) {
        fail(REGAD_INPUT_ERROR, "image is ", image.width, "x", image.height, " pixels; expected 1 to ", largest_side,
             " each way");
    }
    const std::int64_t least = std::int64_t{image.width} * layouts[image.format].channels;
    const std::int64_t stride = stride_of(image);
    constexpr std::int64_t most = std::int64_t{1} << 40;  // keeps height * stride far from overflow
    if (stride < -most || stride > most || std::abs(stride) < least) {
        fail(REGAD_INPUT_ERROR, "image.stride is ", stride, " bytes; a row of this image has ", least);
    }
}

Placement place(int width, int height, const InputSpec &spec) {
    std::int64_t x = 0, y = 0, w = width, h = height;
    if (spec.has_roi) {
        x = spec.roi[0], y = spec.roi[1], w = spec.roi[2], h = spec.roi[3];
    }
    if (x + w > width || y + h > height) {
        fail(REGAD_INPUT_ERROR, "the region of interest ", x, ",", y, ",", w, ",", h,
             " (x,y,width,height) does not fit the image of ", width, "x", height, " pixels; choose one inside it");
    }
    if (spec.fit == Fit::crop) {
        const std::int64_t side = std::min(w, h);
        x += (w - side) / 2;
        y += (h - side) / 2;
        w = h = side;
    }
    std::int64_t out_w = input_size, out_h = input_size;
    if (spec.fit == Fit::letterbox) {
        const std::int64_t longest = std::max(w, h);
        out_w = std::max<std::int64_t>(1, (2 * w * input_size + longest) / (2 * longest));
        out_h = std::max<std::int64_t>(1, (2 * h * input_size + longest) / (2 * longest));
    }
    Placement spot;
    spot.left = static_cast<int>(x), spot.top = static_cast<int>(y);
    spot.right = static_cast<int>(x + w), spot.bottom = static_cast<int>(y + h);
    spot.width = static_cast<int>(out_w), spot.height = static_cast<int>(out_h);
    spot.x = (input_size - spot.width) / 2, spot.y = (input_size - spot.height) / 2;
    return spot;
}

Pixels pixels_of(const regad_image &image) {
    check_image(image);
    return {image.data, image.width, image.height, stride_of(image), layouts[image.format]};
}

void Preprocessor::run(const regad_image &image, const InputSpec &spec, Pool &pool, unsigned char *out) {
    const Pixels pixels = pixels_of(image);
    resampler_.run(pixels, place(image.width, image.height, spec), spec.resample, pool, out);
}

}  // namespace regad
