#include "core/plane.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/kernels.hpp"

namespace regad {
namespace {

int density_for(int longest, int shortest, bool stretched) {
    if (!stretched) {
        return 2;
    }
    for (int k = 2; k < 4; ++k) {
        if (region_cells * k * static_cast<double>(shortest) >= 1.25 * input_size * longest) {
            return k;
        }
    }
    return 4;
}

// How much of the plane a frame covers along one axis: pixels before and after the middle of the region.
struct Span {
    int before, after;
    float from, to;  // in the frame

    Span(double middle, int size, double step, int half)
        : before(std::clamp(static_cast<int>(std::floor(middle / step + 1e-6)), 1, half)),
          after(std::clamp(static_cast<int>(std::floor((size - middle) / step + 1e-6)), 1, half)),
          from(static_cast<float>(std::max(middle - before * step, 0.0))),
          to(static_cast<float>(std::min(middle + after * step, static_cast<double>(size)))) {}
};

}  // namespace

void Plane::sample(const Pixels &image, const Box &box, bool stretched, Pool &pool) {
    const int box_width = box.right - box.left, box_height = box.bottom - box.top;
    const int longest = std::max(box_width, box_height);
    density_ = density_for(longest, std::min(box_width, box_height), stretched);
    const double step = static_cast<double>(longest) / (region_cells * density_);
    const int half = plane_side * density_ / 2;
    const Span across((box.left + box.right) / 2.0, image.width, step, half);
    const Span down((box.top + box.bottom) / 2.0, image.height, step, half);
    width_ = across.before + across.after, height_ = down.before + down.after;
    left_ = half - across.before, top_ = half - down.before;
    const Resample filter = step >= 2 ? Resample::box : Resample::bilinear;
    columns_.prepare(image.width, across.from, across.to, width_, filter);
    rows_.prepare(image.height, down.from, down.to, height_, filter);

    const Kernels &k = kernels();
    const Layout &layout = image.layout;
    const auto horizontal = columns_.flat ? k.horizontal_flat : k.horizontal;
    const auto width = static_cast<std::size_t>(width_);
    const auto channels = static_cast<std::size_t>(std::min(layout.channels, 3));  // after the horizontal pass
    const std::size_t last_column = 2 * width - 2;
    const auto from = static_cast<std::size_t>(columns_.bounds[0]) * static_cast<std::size_t>(layout.channels);
    const auto to = static_cast<std::size_t>(columns_.bounds[last_column] + columns_.bounds[last_column + 1]) *
                    static_cast<std::size_t>(layout.channels);
    const std::size_t row_bytes = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(layout.channels);
    const std::size_t narrow_bytes = width * channels;
    reserve(pixels_, width * static_cast<std::size_t>(height_));
    reserve(low_, pool.threads() * (row_bytes + narrow_bytes));
    over_rows(static_cast<std::size_t>(height_), pool, [&](std::size_t y, std::size_t slot) {
        unsigned char *low = low_.data() + slot * (row_bytes + narrow_bytes), *narrow = low + row_bytes;
        const auto count = static_cast<std::size_t>(rows_.bounds[2 * y + 1]);
        k.pose.shrink(image.row(rows_.bounds[2 * y]) + from, image.stride, count, rows_.weights.data() + y * rows_.taps,
                      rows_.flat, to - from, low + from);
        horizontal(low, static_cast<std::size_t>(image.width), layout.channels, columns_.bounds.data(),
                   columns_.weights.data(), columns_.taps, width, narrow);
        std::uint32_t *out = pixels_.data() + y * width;
        for (std::size_t x = 0; x < width; ++x) {
            const unsigned char *p = narrow + x * channels;
            out[x] = static_cast<std::uint32_t>(p[layout.order[0]]) |
                     static_cast<std::uint32_t>(p[layout.order[1]]) << 8 |
                     static_cast<std::uint32_t>(p[layout.order[2]]) << 16;
        }
    });
}

Region Plane::region() const noexcept {
    const double k = density_;
    return {left_ / k, top_ / k, (left_ + width_) / k, (top_ + height_) / k};
}

void Plane::grey(const float *weights, Pool &pool, float *cells) {
    const auto k = static_cast<std::size_t>(density_);
    const auto width = static_cast<std::size_t>(width_), left = static_cast<std::size_t>(left_);
    const std::size_t side = plane_side * k;
    over_rows(plane_side, pool, [&](std::size_t y, std::size_t) {
        alignas(64) float sums[plane_side * 4];
        std::memset(sums, 0, sizeof sums);
        for (std::size_t j = 0; j < k; ++j) {
            const int row = std::clamp(static_cast<int>(y * k + j) - top_, 0, height_ - 1);
            kernels().pose.grey(pixels_.data() + static_cast<std::size_t>(row) * width, width, weights, sums + left);
        }
        std::fill(sums, sums + left, sums[left]);
        std::fill(sums + left + width, sums + side, sums[left + width - 1]);
        float *to = cells + y * plane_side;
        for (std::size_t x = 0; x < plane_side; ++x) {
            float sum = 0;
            for (std::size_t i = 0; i < k; ++i) {
                sum += sums[x * k + i];
            }
            to[x] = sum / static_cast<float>(k * k);
        }
    });
}

}  // namespace regad
