// The declared preprocessing of an artifact or a category.
#pragma once

#include <array>
#include <cstdint>

#include "formats/json.hpp"
#include "core/resample.hpp"
#include "core/sizes.hpp"

namespace regad {

enum class Fit { stretch, letterbox, crop };

// How a source image becomes the encoder's input (spec.py has the same fields).
struct InputSpec {
    Fit fit = Fit::stretch;
    Resample resample = Resample::box;
    bool has_roi = false;
    std::array<std::int64_t, 4> roi{};  // x, y, width, height in pixels of the source
    std::array<double, 3> mean{};       // applied inside encoder.onnx
    std::array<double, 3> std{};

    // Throws std::runtime_error for anything that InputSpec.to_json would not have written.
    static InputSpec from_json(const Json &json);
};

const char *name(Fit fit) noexcept;
const char *name(Resample resample) noexcept;

}  // namespace regad
