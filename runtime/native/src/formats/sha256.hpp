// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace regad {

class Sha256 {
public:
    // `portable` keeps to plain C++; the tests compare the two.
    explicit Sha256(bool portable = false);
    void update(const void *data, std::size_t size);
    // The digest as 64 lower-case hexadecimal digits; the object is spent afterwards.
    std::string hex();

private:
    using Blocks = void (*)(std::uint32_t *state, const unsigned char *data, std::size_t count);

    std::array<std::uint32_t, 8> state_;
    std::array<unsigned char, 64> tail_{};
    std::size_t filled_ = 0;
    std::uint64_t total_ = 0;
    Blocks blocks_;
};

std::string sha256_hex(const void *data, std::size_t size);

}  // namespace regad
