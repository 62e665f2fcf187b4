#include "core/presence.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>

#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr std::size_t cell = 2, block = 8;  // sides in pixels
constexpr std::size_t cells = input_size / cell, blocks = input_size / block;
constexpr std::uint64_t pixel_count = input_size * input_size, block_count = blocks * blocks;
constexpr std::uint64_t neighbours = 2 * cells * (cells - 1);

struct Sums {
    std::uint64_t total = 0, squares = 0, block_squares = 0, slopes = 0;
};

// Adds one row's grey values to the cells it belongs to.
void add_row(const unsigned char *row, std::int32_t *sums, Sums &whole) noexcept {
    unsigned char grey[input_size];
    for (std::size_t x = 0; x < input_size; ++x) {
        grey[x] = static_cast<unsigned char>((77U * row[3 * x] + 150U * row[3 * x + 1] + 29U * row[3 * x + 2] + 128U) >> 8U);
    }
    std::uint32_t total = 0, squares = 0;
    for (std::size_t x = 0; x < input_size; ++x) {
        total += grey[x];
        squares += static_cast<std::uint32_t>(grey[x]) * grey[x];
    }
    whole.total += total;
    whole.squares += squares;
    for (std::size_t x = 0; x < cells; ++x) {
        sums[x] += grey[2 * x] + grey[2 * x + 1];
    }
}

std::uint64_t differences(const std::int32_t *first, const std::int32_t *second, std::size_t count) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t x = 0; x < count; ++x) {
        sum += static_cast<std::uint32_t>(std::abs(first[x] - second[x]));
    }
    return sum;
}

Sums sums_of(const unsigned char *image) noexcept {
    Sums whole;
    std::int32_t first[cells] = {}, second[cells] = {}, of_blocks[blocks] = {};
    std::int32_t *above = first, *here = second;
    for (std::size_t y = 0; y < cells; ++y) {
        std::swap(above, here);
        std::fill_n(here, cells, 0);
        for (std::size_t row = cell * y; row < cell * (y + 1); ++row) {
            add_row(image + row * input_size * 3, here, whole);
        }
        whole.slopes += differences(here, here + 1, cells - 1) + (y > 0 ? differences(here, above, cells) : 0);
        for (std::size_t x = 0; x < cells; ++x) {
            of_blocks[x / (block / cell)] += here[x];
        }
        if ((y + 1) % (block / cell) == 0) {
            for (std::int32_t &sum : of_blocks) {
                whole.block_squares += static_cast<std::uint64_t>(sum) * static_cast<std::uint64_t>(sum);
                sum = 0;
            }
        }
    }
    return whole;
}

}  // namespace

Limits no_limits() noexcept {
    Limits limits;
    limits.fill({-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(), 0, 0});
    return limits;
}

// Every integer here is below 2^53, so each conversion is exact and each quotient and root rounded once.
Measures measure(const unsigned char *image) noexcept {
    const Sums sums = sums_of(image);
    const std::uint64_t spread = pixel_count * sums.squares - sums.total * sums.total;
    const auto coarse = static_cast<double>(block_count * sums.block_squares - sums.total * sums.total);
    constexpr auto area = static_cast<double>(pixel_count);
    return {static_cast<double>(sums.total) / area, std::sqrt(coarse) / area,
            static_cast<double>(sums.slopes) / static_cast<double>(cell * cell * neighbours),
            spread > 0 ? std::sqrt(coarse / static_cast<double>(spread)) : 0.0};
}

std::size_t first_broken(const Measures &measures, const Limits &limits) noexcept {
    std::size_t i = 0;
    while (i < measure_count && measures[i] >= limits[i].low && measures[i] <= limits[i].high) {
        ++i;
    }
    return i;
}

}  // namespace regad
