// A part as the first support image shows it, prepared for the search: `outline` of runtime/imaging/pose.py, compiled.
#pragma once

#include <cstddef>

#include "core/buffer.hpp"
#include "core/edges.hpp"
#include "core/plane.hpp"
#include "core/pool.hpp"
#include "core/pose_kernels.hpp"

namespace regad {

constexpr std::size_t template_angles = 60;

// What a category stores of the part.
struct TemplateData {
    const float *grey;          // the plane's cells, [256][256]
    float weights[3];           // of red, green and blue in it
    Region region;              // what its frame covered
    double width, height;       // of the region of interest, cells
    double centre_x, centre_y;  // of the part, cells
};

// Where a turn moves a point by as many pixels as the Gauss-Newton steps count, in an image of `size`.
constexpr double turn_radius(int size) { return size * 3 / 16.0; }

// Immutable.
class Template {
public:
    // Keeps nothing of the data. Throws std::bad_alloc.
    Template(const TemplateData &data, Pool &pool);

    // The template's own pixels at one resolution, row by row.
    struct Level {
        int cells = 0, left = 0, top = 0, width = 0, height = 0;
        std::size_t stride = 0;             // of rows, padded with zeros to a multiple of 16
        Buffer<float> values, steepest[4];  // edges, and how they change with a, b (pixels at the radius), tx, ty
        double inverse[4][4] = {};          // of the Hessian, with gain and offset projected out
    };

    const Level &level(std::size_t number) const noexcept { return levels_[number]; }
    double centre_x() const noexcept { return centre_x_; }
    double centre_y() const noexcept { return centre_y_; }
    double width() const noexcept { return width_; }
    double height() const noexcept { return height_; }
    const float *weights() const noexcept { return weights_; }
    // What a query's spectrum is multiplied with: the product's transform holds the correlations with the edges turned by
    // angles 2 i and 2 i + 1, as real and imaginary part.
    const float *spectrum_re(std::size_t i) const noexcept { return spectra_.data() + 2 * i * coarse_length; }
    const float *spectrum_im(std::size_t i) const noexcept { return spectrum_re(i) + coarse_length; }

private:
    void prepare_level(std::size_t number, const float *edges, const Rectangle &own);
    void prepare_spectra(const float *edges, const Rectangle &own, Pool &pool);

    Level levels_[edge_levels];
    Buffer<float> spectra_;
    float weights_[3];
    double width_, height_, centre_x_, centre_y_;
};

}  // namespace regad
