// Finding the pose of a part, and sampling the encoder's input there: runtime/imaging/pose.py and warp.py, compiled.
#pragma once

#include <vector>

#include "core/buffer.hpp"
#include "core/edges.hpp"
#include "core/plane.hpp"
#include "core/pool.hpp"
#include "core/template.hpp"

namespace regad {

// Takes a template point x to centre + t + [[a, -b], [b, a]] (x - centre), cells.
struct Similarity {
    double a = 1, b = 0, tx = 0, ty = 0;
};

struct Found {
    Similarity pose;
    double quality = 0;  // correlation of edges, -1 to 1
    double rival = 0;    // at the next best angle
};

// Where the template's region of interest lands in the input.
struct Spot {
    int x, y, width, height;
};

// Takes a point to another: x' = m[0][0] x + m[0][1] y + m[0][2], y' = m[1][0] x + m[1][1] y + m[1][2].
struct Affine {
    double m[2][3];
};

// What takes a point of a frame whose region of interest is `box` to the registered input, both in pixels from the upper
// left corner: frame_to_map of runtime/imaging/warp.py.
Affine frame_to_input(const Template &part, const Spot &spot, const Similarity &pose, const Box &box) noexcept;

// Degrees, clockwise as the image is seen.
double angle_of(const Similarity &pose) noexcept;

// Reusable memory for one frame at a time: frames of one size allocate nothing after the first.
class Registration {
public:
    Registration();

    // Finds the part in a frame. Throws std::bad_alloc.
    Found find(const Template &part, const Pixels &image, const Box &box, bool stretched, Pool &pool);
    // Samples the input, uint8 RGB [224][224][3], from the frame of the last `find`, and how much of each of the 56x56
    // positions the frame shows, 0 to 1. Throws std::bad_alloc.
    void warp(const Template &part, const Spot &spot, const Similarity &pose, Pool &pool, unsigned char *out,
              float *seen);

private:
    // The highest correlation of one angle, and at which shift.
    struct Peak {
        double height = 0;
        int x = 0, y = 0;
    };

    void transform_query(const Region &region);
    void search(const Template &part, int from_x, int from_y, Pool &pool);
    std::size_t candidates(const Template &part, const Region &region, Pool &pool, Similarity *poses);
    double refine(const Template &part, std::size_t number, const Region &region, Pool &pool, Similarity &pose);
    void sums_at(const Template &part, std::size_t number, const Region &region, Pool &pool, const Similarity &pose,
                 double *sums);

    Plane plane_;
    Buffer<float> grey_;
    Edges edges_;
    Buffer<float> query_;    // real, imaginary, and both transposed
    Buffer<float> waves_;    // a thread's: the same
    std::vector<Peak> peaks_;
    std::vector<double> row_sums_;
    Buffer<float> samples_;  // a thread's row of the input
    Buffer<float> covered_;  // [224][224]
};

}  // namespace regad
