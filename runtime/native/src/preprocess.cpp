#include "preprocess.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "error.hpp"
#include "kernels.hpp"

namespace regad {
namespace {

constexpr int largest_side = 65535;

// Bytes of a pixel, and where its red, green and blue lie.
struct Layout {
    int channels;
    int order[3];
};

constexpr Layout layouts[] = {{3, {0, 1, 2}}, {3, {2, 1, 0}}, {4, {0, 1, 2}}, {4, {2, 1, 0}}, {1, {0, 0, 0}}};

struct Filter {
    double support;
    double (*weight)(double);
};

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double triangle(double x) {
    const double distance = std::fabs(x);
    return distance < 1.0 ? 1.0 - distance : 0.0;
}

double sinc(double x) {
    if (x == 0.0) {
        return 1.0;
    }
    const double angle = x * M_PI;
    return std::sin(angle) / angle;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

constexpr Filter filters[] = {{0.5, box}, {3.0, lanczos}, {1.0, triangle}};

const unsigned char *row_at(const regad_image &image, std::int64_t stride, int row) {
    // A negative stride walks up from the bottom row, which `data` then points to the start of the last row of.
    return image.data + static_cast<std::ptrdiff_t>(stride) * row;
}

std::int64_t stride_of(const regad_image &image) {
    const Layout &layout = layouts[image.format];
    return image.stride != 0 ? image.stride : std::int64_t{image.width} * layout.channels;
}

// Three bytes a pixel, in the order RGB, from `channels` bytes (1 or 3) in the layout's order.
void spread(const unsigned char *from, std::size_t count, const Layout &layout, int channels, unsigned char *to) {
    for (std::size_t i = 0; i < count; ++i) {
        const unsigned char *pixel = from + i * static_cast<std::size_t>(channels);
        const unsigned char rgb[3] = {pixel[layout.order[0]], pixel[layout.order[1]], pixel[layout.order[2]]};
        std::memcpy(to + 3 * i, rgb, 3);
    }
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

// precompute_coeffs and normalize_coeffs_8bpc of Pillow's libImaging/Resample.c, operation for operation.
void Axis::prepare(int in_size, float in_from, float in_to, int out_size, Resample resample) {
    if (in == in_size && from == in_from && to == in_to && out == out_size && filter == resample && taps != 0) {
        return;
    }
    taps = 0;
    const Filter &used = filters[static_cast<int>(resample)];
    const double scale = static_cast<double>(in_to - in_from) / out_size;
    const double filter_scale = std::max(scale, 1.0);
    const double support = used.support * filter_scale;
    const std::size_t count = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
    bounds.assign(2 * static_cast<std::size_t>(out_size), 0);
    weights.assign(count * static_cast<std::size_t>(out_size), 0);
    std::vector<double> exact(count);
    for (int x = 0; x < out_size; ++x) {
        const double center = in_from + (x + 0.5) * scale;
        const double step = 1.0 / filter_scale;
        const int first = std::max(static_cast<int>(center - support + 0.5), 0);
        const int length = std::min(static_cast<int>(center + support + 0.5), in_size) - first;
        double total = 0.0;
        for (int i = 0; i < length; ++i) {
            exact[static_cast<std::size_t>(i)] = used.weight((i + first - center + 0.5) * step);
            total += exact[static_cast<std::size_t>(i)];
        }
        std::int32_t *to_weights = weights.data() + static_cast<std::size_t>(x) * count;
        for (int i = 0; i < length; ++i) {
            const double weight = exact[static_cast<std::size_t>(i)];
            const double fixed = (total != 0.0 ? weight / total : weight) * (1 << 22);
            to_weights[i] = static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
        }
        bounds[2 * static_cast<std::size_t>(x)] = first;
        bounds[2 * static_cast<std::size_t>(x) + 1] = length;
    }
    in = in_size, from = in_from, to = in_to, out = out_size, filter = resample;
    taps = count;
}

void Preprocessor::run(const regad_image &image, const InputSpec &spec, Pool &pool, unsigned char *out) {
    check_image(image);
    const Placement spot = place(image.width, image.height, spec);
    columns_.prepare(image.width, static_cast<float>(spot.left), static_cast<float>(spot.right), spot.width,
                     spec.resample);
    rows_.prepare(image.height, static_cast<float>(spot.top), static_cast<float>(spot.bottom), spot.height,
                  spec.resample);
    if (spot.width != input_size || spot.height != input_size) {
        std::memset(out, 0, image_bytes);
    }
    resample(image, spot, pool, out);
}

void Preprocessor::resample(const regad_image &image, const Placement &spot, Pool &pool, unsigned char *out) {
    const Kernels &k = kernels();
    const Layout &layout = layouts[image.format];
    const std::int64_t stride = stride_of(image);
    const int channels = std::min(layout.channels, 3);  // after the horizontal pass
    const auto width = static_cast<std::size_t>(spot.width);
    const std::size_t row_bytes = width * static_cast<std::size_t>(channels);

    const std::size_t last = 2 * static_cast<std::size_t>(spot.height) - 2;
    const int first_row = rows_.bounds[0];
    const int row_count = rows_.bounds[last] + rows_.bounds[last + 1] - first_row;
    const std::size_t needed = static_cast<std::size_t>(row_count) * row_bytes;
    if (narrow_.size() < needed) {
        narrow_ = Buffer<unsigned char>(needed);
    }
    constexpr int chunk = 32;
    const auto chunks = static_cast<std::size_t>((row_count + chunk - 1) / chunk);
    pool.run(chunks, [&](std::size_t index, std::size_t) {
        const int start = static_cast<int>(index) * chunk;
        for (int row = start; row < std::min(start + chunk, row_count); ++row) {
            k.horizontal(row_at(image, stride, first_row + row), static_cast<std::size_t>(image.width),
                         layout.channels, columns_.bounds.data(), columns_.weights.data(), columns_.taps, width,
                         narrow_.data() + static_cast<std::size_t>(row) * row_bytes);
        }
    });
    for (int y = 0; y < spot.height; ++y) {
        const auto at = static_cast<std::size_t>(y);
        unsigned char line[3 * input_size];
        k.vertical(narrow_.data() + static_cast<std::size_t>(rows_.bounds[2 * at] - first_row) * row_bytes, row_bytes,
                   static_cast<std::size_t>(rows_.bounds[2 * at + 1]), rows_.weights.data() + at * rows_.taps,
                   row_bytes, line);
        const std::size_t target = static_cast<std::size_t>(spot.y + y) * input_size + static_cast<std::size_t>(spot.x);
        spread(line, width, layout, channels, out + 3 * target);
    }
}

}  // namespace regad
