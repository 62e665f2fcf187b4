#include "core/fill.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace regad {
namespace {

constexpr std::size_t cell = input_size / grid1, channels = 3, smoothings = 24;
constexpr std::size_t sides[] = {56, 28, 14, 7};
constexpr std::size_t levels = sizeof sides / sizeof *sides;
static_assert(sides[0] == grid1 && cell == 4);

constexpr std::size_t start_of(std::size_t level) {
    std::size_t start = 0;
    for (std::size_t i = 0; i < level; ++i) {
        start += sides[i] * sides[i];
    }
    return start;
}

// How much of the neighbour before (the first two) or after a pixel of a cell takes.
constexpr float shares[cell] = {0.375F, 0.125F, 0.125F, 0.375F};

std::size_t neighbour(std::size_t index, std::size_t part) {
    if (part < cell / 2) {
        return index == 0 ? 0 : index - 1;
    }
    return std::min<std::size_t>(index + 1, grid1 - 1);
}

}  // namespace

Filling::Filling()
    : whole_(start_of(levels)), light_(channels * start_of(levels)), next_(channels * positions1) {}

void Filling::run(const unsigned char *reference, const float *seen, unsigned char *image) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < positions1; ++i) {
        whole_[i] = seen[i] >= 1 ? 1 : 0;
        count += whole_[i];
    }
    if (count == positions1) {
        return;
    }
    if (count == 0) {
        std::memcpy(image, reference, image_bytes);
        return;
    }
    for (std::size_t i = 0; i < positions1; ++i) {
        int sums[channels] = {};
        for (std::size_t j = 0; whole_[i] != 0 && j < cell * cell; ++j) {
            const std::size_t y = i / grid1 * cell + j / cell, x = i % grid1 * cell + j % cell;
            const std::size_t at = channels * (y * input_size + x);
            for (std::size_t c = 0; c < channels; ++c) {
                sums[c] += image[at + c] - reference[at + c];
            }
        }
        for (std::size_t c = 0; c < channels; ++c) {
            light_[channels * i + c] = static_cast<float>(sums[c]) / (cell * cell);
        }
    }
    pull();
    smooth();
    paint(reference, image);
}

// Unknown values become those of ever coarser means; at the coarsest, the mean of all.
void Filling::pull() {
    for (std::size_t level = 1; level < levels; ++level) {
        const std::size_t side = sides[level], fine = start_of(level - 1), own = start_of(level);
        for (std::size_t i = 0; i < side * side; ++i) {
            const std::size_t first = fine + 2 * (i / side) * 2 * side + 2 * (i % side);
            const std::size_t children[] = {first, first + 1, first + 2 * side, first + 2 * side + 1};
            int count = 0;
            for (const std::size_t child : children) {
                count += whole_[child];
            }
            whole_[own + i] = count > 0 ? 1 : 0;
            for (std::size_t c = 0; c < channels; ++c) {
                const auto value = [&](std::size_t which) { return light_[channels * children[which] + c]; };
                const float sum = (value(0) + value(1)) + (value(2) + value(3));
                light_[channels * (own + i) + c] = sum / static_cast<float>(std::max(count, 1));
            }
        }
    }
    const std::size_t coarsest = start_of(levels - 1), end = start_of(levels);
    for (std::size_t c = 0; c < channels; ++c) {
        double sum = 0;
        int count = 0;
        for (std::size_t i = coarsest; i < end; ++i) {
            sum += static_cast<double>(light_[channels * i + c]);
            count += whole_[i];
        }
        for (std::size_t i = coarsest; i < end; ++i) {
            float &value = light_[channels * i + c];
            value = whole_[i] != 0 ? value : static_cast<float>(sum / count);
        }
    }
    for (std::size_t level = levels - 1; level-- > 0;) {
        const std::size_t side = sides[level], own = start_of(level), coarse = start_of(level + 1);
        for (std::size_t i = 0; i < side * side; ++i) {
            const std::size_t parent = coarse + i / side / 2 * (side / 2) + i % side / 2;
            if (whole_[own + i] == 0) {
                std::copy_n(&light_[channels * parent], channels, &light_[channels * (own + i)]);
            }
        }
    }
}

void Filling::smooth() {
    constexpr std::size_t row = channels * grid1;
    for (std::size_t step = 0; step < smoothings; ++step) {
        std::copy_n(light_.data(), channels * positions1, next_.data());
        for (std::size_t i = 0; i < positions1; ++i) {
            if (whole_[i] != 0) {
                continue;
            }
            const std::size_t y = i / grid1, x = i % grid1;
            for (std::size_t c = 0; c < channels; ++c) {
                const float *here = light_.data() + channels * i + c;
                const float above = *(y == 0 ? here : here - row), below = *(y + 1 == grid1 ? here : here + row);
                const float left = *(x == 0 ? here : here - channels);
                const float right = *(x + 1 == grid1 ? here : here + channels);
                next_[channels * i + c] = (above + below + left + right) * 0.25F;
            }
        }
        std::copy_n(next_.data(), channels * positions1, light_.data());
    }
}

void Filling::paint(const unsigned char *reference, unsigned char *image) const {
    for (std::size_t i = 0; i < positions1; ++i) {
        if (whole_[i] != 0) {
            continue;
        }
        for (std::size_t j = 0; j < cell * cell; ++j) {
            const std::size_t y = i / grid1, x = i % grid1, down = j / cell, across = j % cell;
            const std::size_t other_y = neighbour(y, down), other_x = neighbour(x, across);
            const std::size_t at = channels * ((y * cell + down) * input_size + x * cell + across);
            for (std::size_t c = 0; c < channels; ++c) {
                const auto along = [&](std::size_t line) {
                    const float *values = light_.data() + channels * line * grid1 + c;
                    return values[channels * x] * (1 - shares[across]) + values[channels * other_x] * shares[across];
                };
                const float light = along(y) * (1 - shares[down]) + along(other_y) * shares[down];
                const float value = std::nearbyint(static_cast<float>(reference[at + c]) + light);
                image[at + c] = static_cast<unsigned char>(std::clamp(value, 0.0F, 255.0F));
            }
        }
    }
}

}  // namespace regad
