#include "core/resample.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/kernels.hpp"

namespace regad {
namespace {

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

// Three bytes a pixel, in the order RGB, from `channels` bytes (1 or 3) in the layout's order.
void spread(const unsigned char *from, std::size_t count, const Layout &layout, int channels, unsigned char *to) {
    for (std::size_t i = 0; i < count; ++i) {
        const unsigned char *pixel = from + i * static_cast<std::size_t>(channels);
        const unsigned char rgb[3] = {pixel[layout.order[0]], pixel[layout.order[1]], pixel[layout.order[2]]};
        std::memcpy(to + 3 * i, rgb, 3);
    }
}

}  // namespace

// precompute_coeffs and normalize_coeffs_8bpc of Pillow's libImaging/Resample.c, operation for operation.
void Axis::prepare(int in_size, float in_from, float in_to, int out_size, Resample resample) {
    if (in == in_size && from == in_from && to == in_to && out == out_size && filter == resample && taps != 0) {
        return;
    }
    taps = 0;
    flat = true;
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
        // The box filter's window may be a pixel too wide: weights of 0 at its ends are left out.
        int begin = 0, end = length;
        while (begin < end - 1 && exact[static_cast<std::size_t>(begin)] == 0.0) {
            ++begin;
        }
        while (begin < end - 1 && exact[static_cast<std::size_t>(end - 1)] == 0.0) {
            --end;
        }
        std::int32_t *to_weights = weights.data() + static_cast<std::size_t>(x) * count;
        for (int i = begin; i < end; ++i) {
            const double weight = exact[static_cast<std::size_t>(i)];
            const double fixed = (total != 0.0 ? weight / total : weight) * (1 << 22);
            to_weights[i - begin] = static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
            flat = flat && to_weights[i - begin] == to_weights[0];
        }
        bounds[2 * static_cast<std::size_t>(x)] = first + begin;
        bounds[2 * static_cast<std::size_t>(x) + 1] = end - begin;
    }
    in = in_size, from = in_from, to = in_to, out = out_size, filter = resample;
    taps = count;
}

void Resampler::run(const Pixels &image, const Placement &spot, Resample filter, Pool &pool, unsigned char *out) {
    columns_.prepare(image.width, static_cast<float>(spot.left), static_cast<float>(spot.right), spot.width, filter);
    rows_.prepare(image.height, static_cast<float>(spot.top), static_cast<float>(spot.bottom), spot.height, filter);
    if (spot.width != input_size || spot.height != input_size) {
        std::memset(out, 0, image_bytes);
    }
    const Kernels &k = kernels();
    const Layout &layout = image.layout;
    const auto horizontal = columns_.flat ? k.horizontal_flat : k.horizontal;
    const int channels = std::min(layout.channels, 3);  // after the horizontal pass
    const auto width = static_cast<std::size_t>(spot.width);
    const std::size_t row_bytes = width * static_cast<std::size_t>(channels);

    const std::size_t last = 2 * static_cast<std::size_t>(spot.height) - 2;
    const int first_row = rows_.bounds[0];
    const int row_count = rows_.bounds[last] + rows_.bounds[last + 1] - first_row;
    reserve(narrow_, static_cast<std::size_t>(row_count) * row_bytes);
    constexpr int chunk = 32;
    const auto chunks = static_cast<std::size_t>((row_count + chunk - 1) / chunk);
    pool.run(chunks, [&](std::size_t index, std::size_t) {
        const int start = static_cast<int>(index) * chunk;
        for (int row = start; row < std::min(start + chunk, row_count); ++row) {
            horizontal(image.row(first_row + row), static_cast<std::size_t>(image.width), layout.channels,
                       columns_.bounds.data(), columns_.weights.data(), columns_.taps, width,
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
