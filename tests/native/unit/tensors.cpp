// What files.hpp makes of numbers alone: large, so this file is optimized.
#include <algorithm>
#include <cstring>
#include <utility>

#include "files.hpp"

namespace files {

Tensor floats(const std::vector<std::uint64_t> &shape, unsigned seed, float scale) {
    std::uint64_t count = 1;
    for (const std::uint64_t length : shape) {
        count *= length;
    }
    // A linear congruential generator: there can be a hundred million values.
    std::uint32_t state = seed * 2654435761U + 12345U;
    std::string bytes(static_cast<std::size_t>(count) * sizeof(float), '\0');
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
        state = state * 1664525U + 1013904223U;
        const float value = scale * (static_cast<float>(state >> 8U) / 8388608.0F - 1.0F);
        std::memcpy(bytes.data() + at, &value, sizeof value);
    }
    return {"F32", shape, std::move(bytes)};
}

Tensors statistics(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest) {
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
        Tensors alone = {{"mean" + n, floats({positions, channels}, seed + static_cast<unsigned>(finest) - 1, 0.5F)}};
        if (encoding == "cholesky") {
            alone["w" + n + "_packed"] = floats({positions, packed(channels)}, seed + 3, 0.1F);
        } else {
            alone["x" + n + "_packed"] = floats({positions, staircase(rank, channels)}, seed + 10, 0.1F);
            alone["l" + n + "_packed"] = floats({positions, packed(rank)}, seed + 11, 0.1F);
        }
        return alone;
    }
    Tensors tensors = {{"mean1", floats({3136, 64}, seed, 0.5F)},
                       {"mean2", floats({784, 128}, seed + 1, 0.5F)},
                       {"mean3", floats({196, 256}, seed + 2, 0.5F)}};
    if (encoding == "cholesky") {
        tensors["w3_packed"] = floats({196, packed(256)}, seed + 3, 0.1F);
        tensors["w2_cross"] = floats({784, 128, 256}, seed + 4, 0.1F);
        tensors["w2_packed"] = floats({784, packed(128)}, seed + 5, 0.1F);
        tensors["w1_cross"] = floats({3136, 64, 384}, seed + 6, 0.1F);
        tensors["w1_packed"] = floats({3136, packed(64)}, seed + 7, 0.1F);
        return tensors;
    }
    tensors["x1"] = floats({3136, rank, 64}, seed + 8, 0.1F);
    tensors["x2"] = floats({784, rank, 128}, seed + 9, 0.1F);
    tensors["x3_packed"] = floats({196, staircase(rank, 256)}, seed + 10, 0.1F);
    const std::uint64_t positions = encoding == "gram" ? 3136 : 784;
    tensors["l_packed"] = floats({positions, packed(rank)}, seed + 11, 0.1F);
    if (encoding == "hybrid") {
        tensors["w1_packed"] = floats({3136, packed(64)}, seed + 12, 0.5F);
    }
    return tensors;
}

Tensors halved(Tensors tensors) {
    for (auto &[name, tensor] : tensors) {
        if (name.compare(0, 4, "mean") == 0 || name == "scale" || name == "norms") {
            continue;
        }
        std::string narrow(tensor.bytes.size() / 2, '\0');
        for (std::size_t i = 0; i < narrow.size() / 2; ++i) {
            std::uint32_t bits = 0;
            std::memcpy(&bits, tensor.bytes.data() + 4 * i, 4);
            const std::uint32_t exponent = bits >> 23U & 255U;  // the values here are far below 2^16
            const std::uint32_t value = exponent < 113 ? 0 : (exponent - 112) << 10U | (bits >> 13U & 1023U);
            const auto half = static_cast<std::uint16_t>(value | (bits >> 16U & 0x8000U));
            std::memcpy(narrow.data() + 2 * i, &half, 2);
        }
        tensor = {"F16", tensor.shape, narrow};
    }
    return tensors;
}

}  // namespace files
