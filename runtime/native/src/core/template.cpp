#include "core/template.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/kernels.hpp"

namespace regad {
namespace {

constexpr double window_inner = 26, window_outer = 31;  // of the soft disc, coarse pixels

// The template's own pixels at the coarse level: the region of interest less a border.
Rectangle own_pixels(const TemplateData &data) {
    const double middle = plane_side / 2.0;
    const Region inside{std::max(data.region.left, middle - data.width / 2),
                        std::max(data.region.top, middle - data.height / 2),
                        std::min(data.region.right, middle + data.width / 2),
                        std::min(data.region.bottom, middle + data.height / 2)};
    return covered(inside, coarse_cells, 1);
}

// Bilinear at pixel-index coordinates, clamped to a square image.
double sample(const float *image, int size, double x, double y) {
    x = std::clamp(x, 0.0, size - 1.001);
    y = std::clamp(y, 0.0, size - 1.001);
    const int column = static_cast<int>(x), row = static_cast<int>(y);
    const double u = x - column, v = y - row;
    const float *p = image + row * size + column;
    const double upper = p[0] * (1 - u) + p[1] * u;
    const double lower = p[size] * (1 - u) + p[size + 1] * u;
    return upper * (1 - v) + lower * v;
}

// The inverse of a symmetric positive definite matrix.
void invert(const double (&matrix)[4][4], double (&inverse)[4][4]) {
    double work[4][8] = {};
    for (int i = 0; i < 4; ++i) {
        std::copy(matrix[i], matrix[i] + 4, work[i]);
        work[i][4 + i] = 1;
    }
    for (int i = 0; i < 4; ++i) {
        for (int j = 7; j >= i; --j) {
            work[i][j] /= work[i][i];
        }
        for (int k = 0; k < 4; ++k) {
            const double factor = work[k][i];
            for (int j = i; k != i && j < 8; ++j) {
                work[k][j] -= factor * work[i][j];
            }
        }
    }
    for (int i = 0; i < 4; ++i) {
        std::copy(work[i] + 4, work[i] + 8, inverse[i]);
    }
}

// The Hessian of the fit, from sums over a level's pixels.
struct Hessian {
    double count = 0, sum = 0, square = 0, sums[4] = {}, along[4] = {}, products[4][4] = {};

    void add(double value, const double (&steepest)[4]) {
        count += 1, sum += value, square += value * value;
        for (int i = 0; i < 4; ++i) {
            sums[i] += steepest[i];
            along[i] += steepest[i] * value;
            for (int j = 0; j < 4; ++j) {
                products[i][j] += steepest[i] * steepest[j];
            }
        }
    }

    // Gain and offset are projected out; a blank template has an inverse too.
    void inverse(double (&out)[4][4]) const {
        const double spread = square - sum * sum / count;
        double matrix[4][4], trace = 0;
        for (int i = 0; i < 4; ++i) {
            const double with_value = along[i] - sums[i] * sum / count;
            for (int j = 0; j < 4; ++j) {
                const double other = along[j] - sums[j] * sum / count;
                matrix[i][j] = products[i][j] - sums[i] * sums[j] / count - with_value * other / (spread + 1e-12);
            }
            trace += matrix[i][i];
        }
        for (int i = 0; i < 4; ++i) {
            matrix[i][i] += 1e-4 * trace / 4 + 1e-9;
        }
        invert(matrix, out);
    }
};

}  // namespace

Template::Template(const TemplateData &data, Pool &pool)
    : spectra_(template_angles * coarse_length), weights_{data.weights[0], data.weights[1], data.weights[2]},
      width_(data.width), height_(data.height), centre_x_(data.centre_x), centre_y_(data.centre_y) {
    Edges edges;
    edges.compute(data.grey, data.region, pool);
    const Rectangle own = own_pixels(data);
    for (std::size_t number = 0; number < edge_levels; ++number) {
        prepare_level(number, edges.level[number].data(), own);
    }
    prepare_spectra(edges.level[0].data(), own, pool);
}

void Template::prepare_level(std::size_t number, const float *edges, const Rectangle &own) {
    Level &level = levels_[number];
    const int factor = 1 << number, size = edge_side(number);
    level.cells = size;
    level.left = own.left * factor, level.top = own.top * factor;
    level.width = (own.right - own.left) * factor, level.height = (own.bottom - own.top) * factor;
    level.stride = (static_cast<std::size_t>(level.width) + 15) / 16 * 16;
    const std::size_t length = level.stride * static_cast<std::size_t>(level.height);
    for (Buffer<float> *buffer : {&level.values, &level.steepest[0], &level.steepest[1], &level.steepest[2],
                                  &level.steepest[3]}) {
        *buffer = Buffer<float>(length);
        std::fill(buffer->begin(), buffer->end(), 0.0F);
    }
    const double radius = turn_radius(size), scale = static_cast<double>(size) / plane_side;
    Hessian hessian;
    for (int row = 0; row < level.height; ++row) {
        for (int column = 0; column < level.width; ++column) {
            const float *p = edges + (level.top + row) * size + level.left + column;
            const double gx = (static_cast<double>(p[1]) - static_cast<double>(p[-1])) / 2;
            const double gy = (static_cast<double>(p[size]) - static_cast<double>(p[-size])) / 2;
            const double x = level.left + column + 0.5 - centre_x_ * scale;
            const double y = level.top + row + 0.5 - centre_y_ * scale;
            const double steepest[4] = {(gx * x + gy * y) / radius, (gy * x - gx * y) / radius, gx, gy};
            const std::size_t at = static_cast<std::size_t>(row) * level.stride + static_cast<std::size_t>(column);
            level.values[at] = *p;
            for (int i = 0; i < 4; ++i) {
                level.steepest[i][at] = static_cast<float>(steepest[i]);
            }
            hessian.add(static_cast<double>(*p), steepest);
        }
    }
    hessian.inverse(level.inverse);
}

void Template::prepare_spectra(const float *edges, const Rectangle &own, Pool &pool) {
    const double scale = static_cast<double>(coarse_cells) / plane_side;
    const double middle_x = centre_x_ * scale, middle_y = centre_y_ * scale;
    const auto turned = [&](std::size_t angle, float *out) {
        const double turn = 2 * M_PI * static_cast<double>(angle) / template_angles, c = std::cos(turn), s = std::sin(turn);
        std::vector<double> weights(coarse_length), values(coarse_length);
        double total = 0, weight = 0, square = 0;
        for (std::size_t i = 0; i < coarse_length; ++i) {
            const double x = static_cast<double>(i % coarse_cells) + 0.5 - coarse_cells / 2.0;
            const double y = static_cast<double>(i / coarse_cells) + 0.5 - coarse_cells / 2.0;
            const double from_x = middle_x + c * x + s * y, from_y = middle_y - s * x + c * y;
            const bool inside = from_x >= own.left + 0.5 && from_x <= own.right - 0.5 &&
                                from_y >= own.top + 0.5 && from_y <= own.bottom - 0.5;
            const double disc = std::clamp((window_outer - std::hypot(x, y)) / (window_outer - window_inner), 0.0, 1.0);
            weights[i] = inside ? disc : 0;
            values[i] = sample(edges, coarse_cells, from_x - 0.5, from_y - 0.5);
            weight += weights[i];
            total += weights[i] * values[i];
        }
        for (std::size_t i = 0; i < coarse_length; ++i) {
            values[i] = (values[i] - total / std::max(weight, 1e-9)) * weights[i];
            square += values[i] * values[i];
        }
        for (std::size_t i = 0; i < coarse_length; ++i) {
            out[i] = static_cast<float>(values[i] / std::sqrt(square + 1e-12) / coarse_length);
        }
    };
    const PoseKernels &k = kernels().pose;
    pool.run(template_angles / 2, [&](std::size_t pair, std::size_t) {
        Buffer<float> waves(2 * coarse_length);
        float *re = waves.data(), *im = re + coarse_length;
        float *to_re = spectra_.data() + 2 * pair * coarse_length, *to_im = to_re + coarse_length;
        // conj(F(a - i b)) = conj(F(a)) + i conj(F(b)), whose product with the query's spectrum carries both correlations.
        turned(2 * pair, re);
        turned(2 * pair + 1, im);
        for (std::size_t i = 0; i < coarse_length; ++i) {
            im[i] = -im[i];
        }
        k.forward(re, im);
        k.transpose(re, to_re);
        k.transpose(im, to_im);
        k.forward(to_re, to_im);
        for (std::size_t i = 0; i < coarse_length; ++i) {
            to_im[i] = -to_im[i];
        }
    });
}

}  // namespace regad
