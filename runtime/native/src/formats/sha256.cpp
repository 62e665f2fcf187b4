#include "formats/sha256.hpp"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace regad {
namespace {

alignas(16) constexpr std::uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t rotate(std::uint32_t value, int bits) { return (value >> bits) | (value << (32 - bits)); }

std::uint32_t big_endian(const unsigned char *data) {
    return static_cast<std::uint32_t>(data[0]) << 24 | static_cast<std::uint32_t>(data[1]) << 16 |
           static_cast<std::uint32_t>(data[2]) << 8 | static_cast<std::uint32_t>(data[3]);
}

// The words a to h of a round are s[-i], s[1 - i] ... modulo 8: they are named anew rather than moved.
inline void one_round(std::uint32_t *s, unsigned i, std::uint32_t message) {
    const std::uint32_t a = s[(0U - i) & 7U], b = s[(1U - i) & 7U], c = s[(2U - i) & 7U];
    const std::uint32_t e = s[(4U - i) & 7U], f = s[(5U - i) & 7U], g = s[(6U - i) & 7U];
    std::uint32_t &d = s[(3U - i) & 7U], &h = s[(7U - i) & 7U];
    const std::uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const std::uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const std::uint32_t t1 = h + sum1 + (g ^ (e & (f ^ g))) + message;
    d += t1;
    h = t1 + sum0 + ((a & b) | (c & (a | b)));
}

void blocks_portable(std::uint32_t *state, const unsigned char *data, std::size_t count) {
    for (; count > 0; --count, data += 64) {
        std::uint32_t w[16], s[8];
        std::copy_n(state, 8, s);
        for (unsigned i = 0; i < 16; ++i) {
            w[i] = big_endian(data + 4 * i);
        }
        for (unsigned from = 0; from < 64; from += 16) {
#pragma GCC unroll 16  // so that every word's place is known, and stays in a register
            for (unsigned i = 0; i < 16; ++i) {
                if (from > 0) {  // the last 16 words of the schedule are all that the next one needs
                    const std::uint32_t before = w[(i + 1) & 15U], after = w[(i + 14) & 15U];
                    w[i] += (rotate(before, 7) ^ rotate(before, 18) ^ (before >> 3)) + w[(i + 9) & 15U] +
                            (rotate(after, 17) ^ rotate(after, 19) ^ (after >> 10));
                }
                one_round(s, i, round_constants[from + i] + w[i]);
            }
        }
        for (int i = 0; i < 8; ++i) {
            state[i] += s[i];
        }
    }
}

#if defined(__x86_64__)
// Intel's SHA extensions; the order of the state's words is theirs (ABEF, CDGH).
__attribute__((target("sha,ssse3,sse4.1"))) void blocks_x86(std::uint32_t *state, const unsigned char *data,
                                                            std::size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(state)), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8);
    __m128i cdgh = _mm_blend_epi16(high, low, 0xF0);
    for (; count > 0; --count, data += 64) {
        const __m128i abef_before = abef;
        const __m128i cdgh_before = cdgh;
        __m128i w[4];
        for (int group = 0; group < 16; ++group) {
            __m128i &now = w[group & 3];
            if (group < 4) {
                now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(data) + group), swap);
            } else {
                const __m128i &one = w[(group + 1) & 3];
                const __m128i &two = w[(group + 2) & 3];
                const __m128i &three = w[(group + 3) & 3];
                const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(now, one), _mm_alignr_epi8(three, two, 4));
                now = _mm_sha256msg2_epu32(sum, three);
            }
            const __m128i *constants = reinterpret_cast<const __m128i *>(round_constants) + group;
            const __m128i message = _mm_add_epi32(now, _mm_load_si128(constants));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, message);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(message, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(state), _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(state + 4), _mm_alignr_epi8(high, low, 8));
}

bool has_sha_instructions() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool sse = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0 && (c & bit_SSSE3) != 0;
    return sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}
#endif

}  // namespace

Sha256::Sha256(bool portable)
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
      blocks_(blocks_portable) {
#if defined(__x86_64__)
    static const bool fast = has_sha_instructions();
    if (fast && !portable) {
        blocks_ = blocks_x86;
    }
#else
    static_cast<void>(portable);
#endif
}

void Sha256::update(const void *data, std::size_t size) {
    const unsigned char *bytes = static_cast<const unsigned char *>(data);
    total_ += size;
    if (filled_ > 0) {
        const std::size_t take = std::min(size, tail_.size() - filled_);
        std::copy_n(bytes, take, tail_.data() + filled_);
        filled_ += take;
        bytes += take;
        size -= take;
        if (filled_ < tail_.size()) {
            return;
        }
        blocks_(state_.data(), tail_.data(), 1);
        filled_ = 0;
    }
    if (size >= 64) {
        blocks_(state_.data(), bytes, size / 64);
        bytes += size / 64 * 64;
        size %= 64;
    }
    std::copy_n(bytes, size, tail_.data());
    filled_ = size;
}

std::string Sha256::hex() {
    const std::uint64_t bits = total_ * 8;
    const unsigned char mark = 0x80;
    const unsigned char zeros[64] = {};
    update(&mark, 1);
    update(zeros, (64 + 56 - filled_) % 64);
    unsigned char length[8];
    for (int i = 0; i < 8; ++i) {
        length[i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
    }
    update(length, sizeof length);
    static const char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(64);
    for (const std::uint32_t word : state_) {
        for (int shift = 28; shift >= 0; shift -= 4) {
            text.push_back(digits[(word >> shift) & 15U]);
        }
    }
    return text;
}

std::string sha256_hex(const void *data, std::size_t size) {
    Sha256 digest;
    digest.update(data, size);
    return digest.hex();
}

}  // namespace regad
