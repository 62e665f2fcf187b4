#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/kernels.hpp"
#include "core/registration.hpp"
#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr std::size_t stride = input_size + 16;  // of a row's samples

void average_cells(const float *covered, float *seen) {
    constexpr std::size_t cell = input_size / grid1;
    for (std::size_t i = 0; i < positions1; ++i) {
        const float *corner = covered + i / grid1 * cell * input_size + i % grid1 * cell;
        float sum = 0;
        for (std::size_t j = 0; j < cell * cell; ++j) {
            sum += corner[j / cell * input_size + j % cell];
        }
        seen[i] = sum / (cell * cell);
    }
}

}  // namespace

void Registration::warp(const Template &part, const Spot &spot, const Similarity &pose, Pool &pool, unsigned char *out,
                        float *seen) {
    std::memset(out, 0, image_bytes);
    std::fill(covered_.begin(), covered_.end(), 1.0F);
    const double density = plane_.density();
    const int samples_x = static_cast<int>(std::ceil(part.width() * density / spot.width / 2));
    const int samples_y = static_cast<int>(std::ceil(part.height() * density / spot.height / 2));
    const auto samples = static_cast<float>(samples_x * samples_y);
    reserve(samples_, pool.threads() * 4 * stride);
    const double middle = plane_side / 2.0, width = part.width() / spot.width, height = part.height() / spot.height;
    over_rows(static_cast<std::size_t>(spot.height), pool, [&](std::size_t index, std::size_t slot) {
        const int line = static_cast<int>(index);
        float *sums = samples_.data() + slot * 4 * stride;
        WarpRow row{};
        row.pixels = plane_.pixels();
        row.width = plane_.width(), row.height = plane_.height(), row.count = spot.width;
        row.step_x = static_cast<float>(pose.a * width * density);
        row.step_y = static_cast<float>(pose.b * width * density);
        std::fill(sums, sums + 4 * stride, 0.0F);
        for (int j = 0; j < samples_y; ++j) {
            const double y = middle + (line + (j + 0.5) / samples_y) * height - part.height() / 2 - part.centre_y();
            for (int i = 0; i < samples_x; ++i) {
                const double x = middle + (i + 0.5) / samples_x * width - part.width() / 2 - part.centre_x();
                const double to_x = part.centre_x() + pose.tx + pose.a * x - pose.b * y;
                const double to_y = part.centre_y() + pose.ty + pose.b * x + pose.a * y;
                row.x = static_cast<float>(to_x * density - plane_.left());
                row.y = static_cast<float>(to_y * density - plane_.top());
                kernels().pose.warp(row, sums, stride);
            }
        }
        const std::size_t at = static_cast<std::size_t>(spot.y + line) * input_size + static_cast<std::size_t>(spot.x);
        for (std::size_t x = 0; x < static_cast<std::size_t>(spot.width); ++x) {
            for (std::size_t channel = 0; channel < 3; ++channel) {
                out[3 * (at + x) + channel] =
                    static_cast<unsigned char>(std::nearbyint(sums[channel * stride + x] / samples));
            }
            covered_[at + x] = sums[3 * stride + x] / samples;
        }
    });
    average_cells(covered_.data(), seen);
}

Affine frame_to_input(const Template &part, const Spot &spot, const Similarity &pose, const Box &box) noexcept {
    const double norm = pose.a * pose.a + pose.b * pose.b, middle = plane_side / 2.0;
    const double turn[2][2] = {{pose.a / norm, pose.b / norm}, {-pose.b / norm, pose.a / norm}};
    const double scale[2] = {spot.width / part.width(), spot.height / part.height()};  // input pixels a cell
    const double step = static_cast<double>(region_cells) / std::max(box.right - box.left, box.bottom - box.top);
    const double fixed[2] = {(box.left + box.right) / 2.0, (box.top + box.bottom) / 2.0};
    const double own[2] = {part.centre_x() - middle, part.centre_y() - middle};
    const double moved[2] = {own[0] + pose.tx, own[1] + pose.ty};
    const double centre[2] = {spot.x + spot.width / 2.0, spot.y + spot.height / 2.0};
    Affine affine{};
    for (int i = 0; i < 2; ++i) {
        double (&row)[3] = affine.m[i];
        row[0] = scale[i] * turn[i][0] * step;
        row[1] = scale[i] * turn[i][1] * step;
        row[2] = centre[i] + scale[i] * (own[i] - turn[i][0] * moved[0] - turn[i][1] * moved[1]) -
                 row[0] * fixed[0] - row[1] * fixed[1];
    }
    return affine;
}

}  // namespace regad
