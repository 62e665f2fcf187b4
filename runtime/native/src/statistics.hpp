// The statistics of a category in memory, in the packed form they are stored in (runtime/stats.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "buffer.hpp"

namespace regad {

enum class Encoding { gram, hybrid, cholesky };

const char *name(Encoding encoding) noexcept;
// Throws std::runtime_error for an unknown name.
Encoding encoding_from(const std::string &name);

constexpr std::size_t most_rank = 8192;  // 370 support images; far beyond what the gram form is good for

struct TensorShape {
    const char *name;
    std::vector<std::uint64_t> shape;
};

// Names and shapes of an encoding, means first.
std::vector<TensorShape> tensor_shapes(Encoding encoding, std::uint64_t rank);

struct Statistics {
    Encoding encoding = Encoding::gram;
    std::size_t rank = 0;
    // A tensor is in one of the two. As IEEE binary16 are stored all but the means, or none.
    std::map<std::string, Buffer<float>> tensors;
    std::map<std::string, Buffer<std::uint16_t>> halves;

    // Throws std::out_of_range if no tensor of that name is stored as T.
    template <typename T>
    const T *at(const char *name) const;
    std::size_t bytes() const noexcept;
};

template <>
inline const float *Statistics::at<float>(const char *name) const {
    return tensors.at(name).data();
}

template <>
inline const std::uint16_t *Statistics::at<std::uint16_t>(const char *name) const {
    return halves.at(name).data();
}

constexpr std::size_t packed_length(std::size_t size) { return size * (size + 1) / 2; }

bool all_finite(const float *values, std::size_t count) noexcept;

}  // namespace regad
