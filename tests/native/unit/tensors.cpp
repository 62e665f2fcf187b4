// What files.hpp makes of numbers alone: large, so this file is optimized.
#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "files.hpp"

namespace files {

void fill(float *values, std::size_t count, unsigned seed, float scale) {
    // A linear congruential generator: there can be a hundred million values.
    std::uint32_t state = seed * 2654435761U + 12345U;
    for (std::size_t i = 0; i < count; ++i) {
        state = state * 1664525U + 1013904223U;
        values[i] = scale * (static_cast<float>(state >> 8U) / 8388608.0F - 1.0F);
    }
}

void halve(const float *values, std::size_t count, std::uint16_t *halves) {
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, values + i, sizeof bits);
        const std::uint32_t exponent = bits >> 23U & 255U;  // the values here are far below 2^16
        const std::uint32_t value = exponent < 113 ? 0 : (exponent - 112) << 10U | (bits >> 13U & 1023U);
        halves[i] = static_cast<std::uint16_t>(value | (bits >> 16U & 0x8000U));
    }
}

std::uint64_t Drawn::count() const {
    return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<std::uint64_t>());
}

Tensor floats(const std::vector<std::uint64_t> &shape, unsigned seed, float scale) {
    const std::uint64_t count = Drawn{"", shape, seed, scale}.count();
    std::string bytes(static_cast<std::size_t>(count) * sizeof(float), '\0');
    fill(reinterpret_cast<float *>(bytes.data()), static_cast<std::size_t>(count), seed, scale);
    return {"F32", shape, std::move(bytes)};
}

std::vector<Drawn> drawn(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest) {
    const auto packed = [](std::uint64_t size) { return size * (size + 1) / 2; };
    const auto staircase = [](std::uint64_t rows, std::uint64_t channels) {
        std::uint64_t length = 0;
        for (std::uint64_t row = 0; row < std::min(rows, channels); ++row) {
            length += channels - row / 16 * 16;
        }
        return length;
    };
    if (finest > 1) {
        const std::string n = std::to_string(finest);
        const std::uint64_t positions = finest == 2 ? 784 : 196, channels = finest == 2 ? 128 : 256;
        const Drawn mean = {"mean" + n, {positions, channels}, seed + static_cast<unsigned>(finest) - 1, 0.5F};
        if (encoding == "cholesky") {
            return {mean, {"w" + n + "_packed", {positions, packed(channels)}, seed + 3, 0.1F}};
        }
        return {mean,
                {"x" + n + "_packed", {positions, staircase(rank, channels)}, seed + 10, 0.1F},
                {"l" + n + "_packed", {positions, packed(rank)}, seed + 11, 0.1F}};
    }
    std::vector<Drawn> list = {{"mean1", {3136, 64}, seed, 0.5F},
                               {"mean2", {784, 128}, seed + 1, 0.5F},
                               {"mean3", {196, 256}, seed + 2, 0.5F}};
    if (encoding == "cholesky") {
        list.insert(list.end(), {{"w3_packed", {196, packed(256)}, seed + 3, 0.1F},
                                 {"w2_cross", {784, 128, 256}, seed + 4, 0.1F},
                                 {"w2_packed", {784, packed(128)}, seed + 5, 0.1F},
                                 {"w1_cross", {3136, 64, 384}, seed + 6, 0.1F},
                                 {"w1_packed", {3136, packed(64)}, seed + 7, 0.1F}});
        return list;
    }
    list.insert(list.end(), {{"x1", {3136, rank, 64}, seed + 8, 0.1F},
                             {"x2", {784, rank, 128}, seed + 9, 0.1F},
                             {"x3_packed", {196, staircase(rank, 256)}, seed + 10, 0.1F},
                             {"l_packed", {encoding == "gram" ? 3136U : 784U, packed(rank)}, seed + 11, 0.1F}});
    if (encoding == "hybrid") {
        list.push_back({"w1_packed", {3136, packed(64)}, seed + 12, 0.5F});
    }
    return list;
}

Tensors statistics(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest) {
    Tensors tensors;
    for (const Drawn &tensor : drawn(encoding, rank, seed, finest)) {
        tensors.emplace(tensor.name, floats(tensor.shape, tensor.seed, tensor.scale));
    }
    return tensors;
}

bool stays_wide(const std::string &name) {
    return name.compare(0, 4, "mean") == 0 || name == "scale" || name == "norms";
}

Tensors halved(Tensors tensors) {
    for (auto &[name, tensor] : tensors) {
        if (!stays_wide(name)) {
            std::string narrow(tensor.bytes.size() / 2, '\0');
            halve(reinterpret_cast<const float *>(tensor.bytes.data()), narrow.size() / 2,
                  reinterpret_cast<std::uint16_t *>(narrow.data()));
            tensor = {"F16", tensor.shape, std::move(narrow)};
        }
    }
    return tensors;
}

}  // namespace files
