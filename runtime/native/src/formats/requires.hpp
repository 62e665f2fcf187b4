// What a file may ask its reader for: runtime/formats/requires.py and runtime/formats/scoring.py.
#pragma once

#include "formats/json.hpp"

namespace regad {

// Throws std::runtime_error if the object's 'requires' names a feature that this version does not provide.
void check_requires(const Json &object);

// Throws std::runtime_error unless a score is made as this version makes it.
void check_scoring(const Json &scoring);

}  // namespace regad
