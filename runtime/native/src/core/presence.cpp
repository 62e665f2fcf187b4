#include "core/presence.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>

#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr std::size_t side = input_size, block = 8, blocks = side / block;
constexpr std::uint64_t pixel_count = side * side, block_count = blocks * blocks;
constexpr std::uint64_t neighbours = 2 * side * (side - 1);

struct Sums {
    std::uint64_t total = 0, squares = 0, block_squares = 0, slopes = 0;
};

void to_grey(const unsigned char *row, unsigned char *grey) noexcept {
    for (std::size_t x = 0; x < side; ++x) {
        grey[x] = static_cast<unsigned char>((77U * row[3 * x] + 150U * row[3 * x + 1] + 29U * row[3 * x + 2] + 128U) >> 8U);
    }
}

std::uint32_t differences(const unsigned char *first, const unsigned char *second, std::size_t count) noexcept {
    std::uint32_t sum = 0;
    for (std::size_t x = 0; x < count; ++x) {
        sum += static_cast<std::uint32_t>(std::abs(first[x] - second[x]));
    }
    return sum;
}

// A row's own sums; its pixels are added to the blocks that they belong to.
void add_row(const unsigned char *grey, std::uint32_t *of_blocks, Sums &whole) noexcept {
    std::uint32_t squares = 0;
    for (std::size_t x = 0; x < side; ++x) {
        squares += static_cast<std::uint32_t>(grey[x]) * grey[x];
    }
    whole.squares += squares;
    for (std::size_t x = 0; x < blocks; ++x) {
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < block; ++i) {
            sum += grey[block * x + i];
        }
        of_blocks[x] += sum;
        whole.total += sum;
    }
    whole.slopes += differences(grey, grey + 1, side - 1);
}

Sums sums_of(const unsigned char *image) noexcept {
    Sums whole;
    unsigned char first[side], second[side];
    unsigned char *above = first, *here = second;
    std::uint32_t of_blocks[blocks] = {};
    for (std::size_t y = 0; y < side; ++y) {
        std::swap(above, here);
        to_grey(image + y * side * 3, here);
        add_row(here, of_blocks, whole);
        whole.slopes += y > 0 ? differences(here, above, side) : 0;
        if ((y + 1) % block == 0) {
            for (std::uint32_t &sum : of_blocks) {
                whole.block_squares += static_cast<std::uint64_t>(sum) * sum;
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
            static_cast<double>(sums.slopes) / static_cast<double>(neighbours),
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
