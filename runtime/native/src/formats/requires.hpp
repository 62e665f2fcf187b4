// What a file may ask its reader for: runtime/formats/requires.py.
#pragma once

#include "formats/json.hpp"

namespace regad {

// Throws std::runtime_error if the object's 'requires' names a feature that this version does not provide.
void check_requires(const Json &object);

}  // namespace regad
