// Whether a frame shows a part at all: runtime/imaging/presence.py, which defines the measures, bit for bit.
#pragma once

#include <array>
#include <cstddef>

namespace regad {

constexpr std::size_t measure_count = 4;
constexpr const char *measure_names[measure_count] = {"brightness", "contrast", "detail", "structure"};

using Measures = std::array<double, measure_count>;

struct Limit {
    double low, high;                // what lies outside shows no part; infinite where there is no limit
    double taught_low, taught_high;  // among the images it was learnt from
};

using Limits = std::array<Limit, measure_count>;

// Limits that every frame keeps.
Limits no_limits() noexcept;

// Of an encoder's input, uint8 RGB [224, 224, 3].
Measures measure(const unsigned char *image) noexcept;

// The first measure that breaks its limit; measure_count if none does.
std::size_t first_broken(const Measures &measures, const Limits &limits) noexcept;

}  // namespace regad
