#include "core/statistics.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace regad {
namespace {

constexpr const char *encoding_names[] = {"gram", "hybrid", "cholesky"};
constexpr const char *dtype_names[] = {"fp32", "fp16"};

}  // namespace

const char *name(Encoding encoding) noexcept { return encoding_names[static_cast<int>(encoding)]; }
const char *name(Dtype dtype) noexcept { return dtype_names[static_cast<int>(dtype)]; }

Encoding encoding_from(const std::string &name) {
    for (int i = 0; i < 3; ++i) {
        if (name == encoding_names[i]) {
            return static_cast<Encoding>(i);
        }
    }
    throw std::runtime_error("encoding is '" + name + "'; expected gram, hybrid or cholesky");
}

Dtype dtype_from(const std::string &name) {
    for (int i = 0; i < 2; ++i) {
        if (name == dtype_names[i]) {
            return static_cast<Dtype>(i);
        }
    }
    throw std::runtime_error("dtype is '" + name + "'; expected fp32 or fp16");
}

bool is_half(const std::string &name, Dtype dtype) noexcept {
    return dtype == Dtype::fp16 && name.compare(0, 4, "mean") != 0;
}

std::string triangle_name(std::size_t finest) { return finest == 1 ? "l_packed" : "l" + std::to_string(finest) + "_packed"; }

std::vector<TensorShape> tensor_shapes(Encoding encoding, std::uint64_t rank, std::size_t finest) {
    if (finest < 1 || finest > coarsest || (encoding == Encoding::hybrid && finest != 1)) {
        throw std::runtime_error(std::string(name(encoding)) + " statistics do not begin with level " +
                                 std::to_string(finest));
    }
    const auto packed = [](std::uint64_t size) { return size * (size + 1) / 2; };
    const std::size_t last = coarsest_of(finest);
    std::vector<TensorShape> shapes;
    for (std::size_t level = finest; level <= last; ++level) {
        shapes.push_back({"mean" + std::to_string(level), {positions_of(level), channels_of(level)}});
    }
    if (encoding == Encoding::cholesky) {
        std::uint64_t coarser = 0;
        for (std::size_t level = last; level >= finest; --level) {
            const std::string w = "w" + std::to_string(level);
            if (coarser != 0) {
                shapes.push_back({w + "_cross", {positions_of(level), channels_of(level), coarser}});
            }
            shapes.push_back({w + "_packed", {positions_of(level), packed(channels_of(level))}});
            coarser += channels_of(level);
        }
        return shapes;
    }
    for (std::size_t level = finest; level < last; ++level) {
        shapes.push_back({"x" + std::to_string(level), {positions_of(level), rank, channels_of(level)}});
    }
    const std::uint64_t stairs = staircase_length(static_cast<std::size_t>(rank), channels_of(last));
    shapes.push_back({"x" + std::to_string(last) + "_packed", {positions_of(last), stairs}});
    const bool gram = encoding == Encoding::gram;
    shapes.push_back({triangle_name(finest), {gram ? positions_of(finest) : positions2, packed(rank)}});
    if (!gram) {
        shapes.push_back({"w1_packed", {positions1, packed(channels1)}});
    }
    return shapes;
}

std::string encodings_of(const StatisticsGroups &groups) {
    std::string names;
    for (const Statistics &group : groups) {
        names += (names.empty() ? "" : "+") + std::string(name(group.encoding));
    }
    return names;
}

std::string form_name(const StatisticsGroups &groups) {
    if (groups.size() == 1) {
        return name(groups[0].encoding);
    }
    std::string form;
    for (const Statistics &group : groups) {
        form += (form.empty() ? "" : "_") + std::string(name(group.encoding)) + "_f" + std::to_string(group.finest);
    }
    return form;
}

bool Statistics::narrow() {
    bool fits = true;
    for (auto tensor = tensors.begin(); tensor != tensors.end();) {
        if (!is_half(tensor->first, Dtype::fp16)) {
            ++tensor;
            continue;
        }
        Buffer<std::uint16_t> narrowed(tensor->second.size());
        std::transform(tensor->second.begin(), tensor->second.end(), narrowed.begin(), to_half);
        fits = all_finite(narrowed.data(), narrowed.size()) && fits;
        halves.emplace(tensor->first, std::move(narrowed));
        tensor = tensors.erase(tensor);
    }
    return fits;
}

std::uint16_t to_half(float value) noexcept {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    const auto sign = static_cast<std::uint32_t>(bits >> 16U & 0x8000U);
    const std::uint32_t rest = bits & 0x7fffffffU;
    const std::uint32_t exponent = rest >> 23U;
    if (rest > 0x7f800000U) {
        return static_cast<std::uint16_t>(sign | 0x7e00U);
    }
    if (exponent >= 143) {
        return static_cast<std::uint16_t>(sign | 0x7c00U);
    }
    if (exponent < 102) {
        return static_cast<std::uint16_t>(sign);
    }
    // A normal number loses 13 bits and its bias of 112; a subnormal more bits, its leading one being written out.
    const std::uint32_t shift = exponent < 113 ? 126 - exponent : 13;
    const std::uint32_t from = exponent < 113 ? (rest & 0x7fffffU) | 0x800000U : rest - (112U << 23U);
    const std::uint32_t half = 1U << (shift - 1);
    const std::uint32_t odd = from >> shift & 1U;
    return static_cast<std::uint16_t>(sign | (from + half - 1 + odd) >> shift);
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

bool all_finite(const std::uint16_t *halves, std::size_t count) noexcept {
    std::uint32_t bad = 0;
    for (std::size_t i = 0; i < count; ++i) {
        bad |= static_cast<std::uint32_t>((halves[i] & 0x7c00U) == 0x7c00U);
    }
    return bad == 0;
}

}  // namespace regad
