// A registered part in a frame: where it lies, whether it can be judged there, and the encoder's input.
#pragma once

#include <regad/regad.h>

#include <string>

#include "core/fill.hpp"
#include "core/pool.hpp"
#include "core/registration.hpp"
#include "core/template.hpp"
#include "formats/registration.hpp"
#include "formats/spec.hpp"

namespace regad {

// What of a category's registration is ready for the search. Immutable.
struct Part {
    // Keeps the specification but for the template's cells, which are no longer needed.
    Part(RegistrationSpec registration, Fit fitted, Pool &pool);

    RegistrationSpec spec;
    Fit fit;
    Template shape;
    Spot spot;  // where the template's region of interest lands in the input
};

struct Arrival {
    Similarity pose;
    double quality = 0;
    Affine to_input{};   // from the frame
    std::string detail;  // why the part is misplaced, "match 0.41, taught with 0.91 to 0.95"; empty if it is not
};

// Reusable memory.
class Finder {
public:
    // Finds the part in a frame and, unless it is misplaced, writes the registered input, uint8 RGB [224, 224, 3]. Throws
    // Error for an image that cannot be used.
    Arrival run(const Part &part, const regad_image &image, const InputSpec &spec, Pool &pool, unsigned char *out);

private:
    Registration registration_;
    Filling filling_;
    Buffer<unsigned char> input_{image_bytes};
    Buffer<float> seen_{positions1};
};

// "NAME VALUE, taught with LOW to HIGH", three digits each.
std::string taught_with(const char *name, double value, const Limit &limit);

}  // namespace regad
