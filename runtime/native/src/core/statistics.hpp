// The statistics of a category in memory, in the packed form they are stored in (runtime/formats/category.py).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/buffer.hpp"
#include "core/sizes.hpp"

namespace regad {

enum class Encoding { gram, hybrid, cholesky };
// What the tensors are stored as; fp16 values are widened exactly and everything is computed in float32.
enum class Dtype { fp32, fp16 };

const char *name(Encoding encoding) noexcept;
const char *name(Dtype dtype) noexcept;
// Throw std::runtime_error for an unknown name.
Encoding encoding_from(const std::string &name);
Dtype dtype_from(const std::string &name);

constexpr std::size_t most_rank = 8192;  // 370 support images; far beyond what the gram form is good for

struct TensorShape {
    std::string name;
    std::vector<std::uint64_t> shape;
};

// Names and shapes of an encoding of the group of `finest` (1, 2 or 3), means first. Throws std::runtime_error for levels
// that the encoding does not have. No two groups of a category have a name in common.
std::vector<TensorShape> tensor_shapes(Encoding encoding, std::uint64_t rank, std::size_t finest = 1);

// Whether a tensor is binary16 in statistics of that dtype: the means never are, they are small.
bool is_half(const std::string &name, Dtype dtype) noexcept;

struct Statistics {
    Encoding encoding = Encoding::gram;
    std::size_t rank = 0;
    // A tensor is in one of the two. As IEEE binary16 are stored all but the means, or none.
    std::map<std::string, Buffer<float>> tensors;
    std::map<std::string, Buffer<std::uint16_t>> halves;
    // The group: distances are those of the positions of this level.
    std::size_t finest = 1;

    // Throws std::out_of_range if no tensor of that name is stored as T.
    template <typename T>
    const T *at(const std::string &name) const;
    Dtype dtype() const noexcept { return halves.empty() ? Dtype::fp32 : Dtype::fp16; }
    // Rounds to binary16 what may be stored so. False if a value is too large for it.
    bool narrow();
};

// A category's: RegAD's one group, or those of f2 and f3, of the same views.
using StatisticsGroups = std::vector<Statistics>;

// The encoding of each group, as a category says it: "gram", "cholesky+gram".
std::string encodings_of(const StatisticsGroups &groups);
// What a manifest calls a scorer graph of such groups: "gram", "cholesky_f2_gram_f3".
std::string form_name(const StatisticsGroups &groups);

template <>
inline const float *Statistics::at<float>(const std::string &name) const {
    return tensors.at(name).data();
}

template <>
inline const std::uint16_t *Statistics::at<std::uint16_t>(const std::string &name) const {
    return halves.at(name).data();
}

constexpr std::size_t packed_length(std::size_t size) { return size * (size + 1) / 2; }

// The views of a group's coarsest level are upper trapezoidal. Their rows are stored in groups of `stair`, which leave out
// the columns before their first row: those are zero.
constexpr std::size_t stair = 16;
constexpr std::size_t stair_start(std::size_t row, std::size_t channels = channels3) {
    return std::min(row / stair * stair, channels);
}
constexpr std::size_t staircase_length(std::size_t rank, std::size_t channels = channels3) {
    std::size_t length = 0;
    for (std::size_t row = 0; row < std::min(rank, channels); ++row) {
        length += channels - stair_start(row, channels);
    }
    return length;
}

// The name of the gram form's triangle: "l_packed" of RegAD's group, "l2_packed" and "l3_packed" of a level alone.
std::string triangle_name(std::size_t finest);

// The nearest binary16, to even where two are as near; infinity if it is too large.
std::uint16_t to_half(float value) noexcept;

bool all_finite(const float *values, std::size_t count) noexcept;
bool all_finite(const std::uint16_t *halves, std::size_t count) noexcept;

}  // namespace regad
