#include "statistics.hpp"

#include <cstring>
#include <stdexcept>

#include "sizes.hpp"

namespace regad {
namespace {

constexpr const char *encoding_names[] = {"gram", "hybrid", "cholesky"};

}  // namespace

const char *name(Encoding encoding) noexcept { return encoding_names[static_cast<int>(encoding)]; }

Encoding encoding_from(const std::string &name) {
    for (int i = 0; i < 3; ++i) {
        if (name == encoding_names[i]) {
            return static_cast<Encoding>(i);
        }
    }
    throw std::runtime_error("encoding is '" + name + "'; expected gram, hybrid or cholesky");
}

std::vector<TensorShape> tensor_shapes(Encoding encoding, std::uint64_t rank) {
    const auto packed = [](std::uint64_t size) { return size * (size + 1) / 2; };
    std::vector<TensorShape> shapes = {{"mean1", {positions1, channels1}},
                                       {"mean2", {positions2, channels2}},
                                       {"mean3", {positions3, channels3}}};
    if (encoding == Encoding::cholesky) {
        shapes.push_back({"w3_packed", {positions3, packed(channels3)}});
        shapes.push_back({"w2_cross", {positions2, channels2, channels3}});
        shapes.push_back({"w2_packed", {positions2, packed(channels2)}});
        shapes.push_back({"w1_cross", {positions1, channels1, channels3 + channels2}});
        shapes.push_back({"w1_packed", {positions1, packed(channels1)}});
        return shapes;
    }
    shapes.push_back({"x1", {positions1, rank, channels1}});
    shapes.push_back({"x2", {positions2, rank, channels2}});
    shapes.push_back({"x3", {positions3, rank, channels3}});
    const bool gram = encoding == Encoding::gram;
    shapes.push_back({"l_packed", {gram ? positions1 : positions2, packed(rank)}});
    if (!gram) {
        shapes.push_back({"w1_packed", {positions1, packed(channels1)}});
    }
    return shapes;
}

std::size_t Statistics::bytes() const noexcept {
    std::size_t total = 0;
    for (const auto &[name, values] : tensors) {
        total += values.size() * sizeof(float);
    }
    for (const auto &[name, values] : halves) {
        total += values.size() * sizeof(std::uint16_t);
    }
    return total;
}

bool all_finite(const float *values, std::size_t count) noexcept {
    // A float is not finite when its exponent bits are all ones; an OR of the tests vectorises.
    std::uint32_t bad = 0;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, values + i, sizeof bits);
        bad |= static_cast<std::uint32_t>((bits & 0x7f800000U) == 0x7f800000U);
    }
    return bad == 0;
}

}  // namespace regad
