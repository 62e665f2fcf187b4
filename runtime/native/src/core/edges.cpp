#include "core/edges.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels.hpp"

namespace regad {
namespace {

constexpr double saturation = 2, tiny = 1e-6;

constexpr std::size_t length_of(std::size_t level) {
    return static_cast<std::size_t>(edge_side(level)) * static_cast<std::size_t>(edge_side(level));
}

void halve(const float *in, std::size_t size, float *out) {
    for (std::size_t y = 0; y < size / 2; ++y) {
        const float *above = in + 2 * y * size, *below = above + size;
        for (std::size_t x = 0; x < size / 2; ++x) {
            out[y * size / 2 + x] = (above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1]) / 4;
        }
    }
}

double mean_inside(const float *values, std::size_t size, const Rectangle &inside) {
    double sum = 0;
    for (int y = inside.top; y < inside.bottom; ++y) {
        const float *row = values + static_cast<std::size_t>(y) * size;
        for (int x = inside.left; x < inside.right; ++x) {
            sum += static_cast<double>(row[x]);
        }
    }
    return sum / ((inside.right - inside.left) * static_cast<double>(inside.bottom - inside.top));
}

}  // namespace

Rectangle covered(const Region &region, int size, int margin) {
    const double factor = static_cast<double>(size) / plane_side;
    Rectangle r{static_cast<int>(std::ceil(region.left * factor)) + margin,
                static_cast<int>(std::ceil(region.top * factor)) + margin,
                static_cast<int>(std::floor(region.right * factor)) - margin,
                static_cast<int>(std::floor(region.bottom * factor)) - margin};
    r.right = std::max(r.right, r.left + 1);
    r.bottom = std::max(r.bottom, r.top + 1);
    return r;
}

Edges::Edges()
    : level{Buffer<float>(length_of(0)), Buffer<float>(length_of(1)), Buffer<float>(length_of(2))},
      half_(length_of(1)), quarter_(length_of(0)), smooth_(length_of(2)), slope_(length_of(2)) {}

void Edges::compute(const float *grey, const Region &region, Pool &pool) {
    const PoseKernels &k = kernels().pose;
    halve(grey, plane_side, half_.data());
    halve(half_.data(), plane_side / 2, quarter_.data());
    const float *images[edge_levels] = {quarter_.data(), half_.data(), grey};
    for (std::size_t number = 0; number < edge_levels; ++number) {
        const auto size = static_cast<std::size_t>(edge_side(number));
        float *smooth = smooth_.data(), *slope = slope_.data();
        const auto smoothed = [&](const float *from, std::size_t y, float *to) {
            k.smooth(from + (y == 0 ? 0 : y - 1) * size, from + y * size, from + std::min(y + 1, size - 1) * size, size,
                     to + y * size);
        };
        over_rows(size, pool, [&](std::size_t y, std::size_t) { smoothed(images[number], y, smooth); });
        over_rows(size, pool, [&](std::size_t y, std::size_t) {
            const std::size_t next = y == 0 || y + 1 == size ? 0 : size;
            const float *here = smooth + y * size;
            k.slope(here - next, here, here + next, size, slope + y * size);
        });
        const double mean = mean_inside(slope, size, covered(region, static_cast<int>(size), 1));
        const auto c = static_cast<float>(saturation * mean + tiny);
        over_rows(size, pool, [&](std::size_t y, std::size_t) { k.saturate(slope + y * size, size, c); });
        over_rows(size, pool, [&](std::size_t y, std::size_t) { smoothed(slope, y, level[number].data()); });
    }
}

}  // namespace regad
