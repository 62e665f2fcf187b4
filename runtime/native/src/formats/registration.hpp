// How a category registers its part: runtime/formats/registration.py.
#pragma once

#include "core/buffer.hpp"
#include "core/plane.hpp"
#include "core/presence.hpp"
#include "formats/json.hpp"

namespace regad {

struct RegistrationSpec {
    float weights[3] = {};         // of red, green and blue in the template
    Region region{};               // what the first support image covered of its plane, cells
    int box_width = 0, box_height = 0;  // of the region of interest there, source pixels
    double centre_x = 0, centre_y = 0;  // of the part, cells
    Limit quality{}, shown{};      // below these a part is misplaced
    Buffer<float> grey;            // the template's cells, [256][256]
    Buffer<unsigned char> reference;  // the first support image as the encoder sees it, [224][224][3]
    Buffer<float> structure;       // how much of the part each position holds, [56][56]

    // All but the tensors. Throws std::runtime_error for anything that Python would not have written.
    static RegistrationSpec from_json(const Json &registration);
    // Throws std::runtime_error for tensors that make no sense.
    void check() const;

    // Of the region of interest, cells.
    double width() const noexcept { return cells(box_width); }
    double height() const noexcept { return cells(box_height); }

private:
    double cells(int side) const noexcept;
};

}  // namespace regad
