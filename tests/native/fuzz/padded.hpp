// A file that a fuzzer can describe in few bytes: a safetensors header from the input, then data of one repeated
// byte. Without it no input would be long enough to hold the megabytes that the readers want to see.
//     bytes 0-3: length of the data, little-endian; byte 4: its value; the rest: the header's text
#pragma once

#include <algorithm>
#include <cstring>
#include <string>

#include "formats/source.hpp"

namespace fuzz {

constexpr std::uint64_t prefix_bytes = 5;
constexpr std::uint64_t most_data = 8U << 20U;

class Padded final : public regad::Source {
public:
    Padded(std::string head, std::uint64_t data, unsigned char value)
        : Source(head.size() + data), head_(std::move(head)), value_(value) {}

private:
    void read_checked(std::uint64_t offset, void *to, std::size_t count) const override {
        std::memset(to, value_, count);
        if (offset < head_.size()) {
            const auto from = static_cast<std::size_t>(offset);
            std::memcpy(to, head_.data() + from, std::min(count, head_.size() - from));
        }
    }
    std::string head_;
    unsigned char value_;
};

inline std::string little_endian(std::uint64_t value, std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) {
        text[i] = static_cast<char>(value >> (8 * i) & 255U);
    }
    return text;
}

// The file that an input describes; an input shorter than the prefix describes an empty one.
inline Padded padded(const unsigned char *data, std::size_t size) {
    if (size < prefix_bytes) {
        return Padded("", 0, 0);
    }
    std::uint64_t length = 0;
    for (std::size_t i = 4; i-- > 0;) {
        length = length << 8U | data[i];
    }
    const std::string text(reinterpret_cast<const char *>(data) + prefix_bytes, size - prefix_bytes);
    return Padded(little_endian(text.size(), 8) + text, std::min(length, most_data), data[4]);
}

}  // namespace fuzz
