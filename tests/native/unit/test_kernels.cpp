// Every instruction set's kernels against plain loops.
#include "core/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/buffer.hpp"
#include "check.hpp"
#include "core/statistics.hpp"

namespace {

std::vector<const regad::Kernels *> sets() {
    std::vector<const regad::Kernels *> list = {&regad::kernels_base};
#if defined(__x86_64__)
    if (&regad::kernels() != &regad::kernels_base) {
        list.push_back(&regad::kernels_avx2);
    }
    if (&regad::kernels() == &regad::kernels_avx512) {
        list.push_back(&regad::kernels_avx512);
    }
#endif
    return list;
}

regad::Buffer<float> buffer_floats(std::size_t count, unsigned seed) {
    std::minstd_rand random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    regad::Buffer<float> values(count);
    for (float &value : values) {
        value = uniform(random);
    }
    return values;
}

void check_close(double got, double expected) { CHECK(std::fabs(got - expected) <= 1e-5 * (1 + std::fabs(expected))); }

}  // namespace

TEST(kernels_matrix) {
    for (const regad::Kernels *k : sets()) {
        const regad::Products<float> &p = k->wide;
        for (const std::size_t columns : {64U, 128U, 256U, 384U}) {
            const std::size_t rows = 13;
            const auto m = buffer_floats(rows * columns, 1), v = buffer_floats(columns, 2), a = buffer_floats(columns, 3);
            regad::Buffer<float> out(rows), d(columns), t(columns);
            const float length = k->subtract(v.data(), a.data(), columns, d.data());
            double squares = 0;
            for (std::size_t i = 0; i < columns; ++i) {
                check_close(d[i], v[i] - a[i]);
                squares += static_cast<double>(v[i] - a[i]) * static_cast<double>(v[i] - a[i]);
            }
            check_close(length, squares);
            p.multiply(m.data(), rows, columns, v.data(), false, out.data());
            p.multiply(m.data(), rows, columns, v.data(), true, out.data());
            std::copy(a.begin(), a.end(), t.begin());
            p.subtract_transposed(m.data(), rows, columns, v.data(), t.data());
            for (std::size_t row = 0; row < rows; ++row) {
                double total = 0;
                for (std::size_t i = 0; i < columns; ++i) {
                    total += static_cast<double>(m[row * columns + i]) * static_cast<double>(v[i]);
                }
                check_close(out[row], 2 * total);
            }
            for (std::size_t i = 0; i < columns; ++i) {
                double total = a[i];
                for (std::size_t row = 0; row < rows; ++row) {
                    total -= static_cast<double>(m[row * columns + i]) * static_cast<double>(v[row]);
                }
                check_close(t[i], total);
            }
        }
    }
}

TEST(kernels_narrow_matrix) {
    for (const regad::Kernels *k : sets()) {
        for (std::size_t columns = 0; columns <= 256; columns += 16) {
            const std::size_t rows = 16;
            const auto m = buffer_floats(rows * columns, 1), v = buffer_floats(columns, 2);
            regad::Buffer<float> out(rows), widened(rows), wide(rows * columns);
            regad::Buffer<std::uint16_t> halves(rows * columns);
            std::transform(m.begin(), m.end(), halves.begin(), regad::to_half);
            k->widen(halves.data(), halves.size(), wide.data());
            k->wide.multiply(m.data(), rows, columns, v.data(), false, out.data());
            for (std::size_t row = 0; row < rows; ++row) {
                double total = 0;
                for (std::size_t i = 0; i < columns; ++i) {
                    total += static_cast<double>(m[row * columns + i]) * static_cast<double>(v[i]);
                }
                check_close(out[row], total);
            }
            k->wide.multiply(wide.data(), rows, columns, v.data(), false, widened.data());
            k->half.multiply(halves.data(), rows, columns, v.data(), false, out.data());
            CHECK(std::memcmp(out.data(), widened.data(), rows * sizeof(float)) == 0);
        }
    }
}

TEST(kernels_triangle) {
    for (const regad::Kernels *k : sets()) {
        const regad::Products<float> &p = k->wide;
        for (std::size_t size = 1; size < 70; ++size) {
            const auto packed = buffer_floats(regad::packed_length(size), 4), y = buffer_floats(size, 5);
            const auto c = buffer_floats(size, 6);
            regad::Buffer<float> out(size), transposed(size + 16);
            std::vector<double> expected(size), expected_transposed(size);
            const float *row = packed.data();
            for (std::size_t i = 0; i < size; row += ++i) {
                for (std::size_t j = 0; j <= i; ++j) {
                    expected[i] += static_cast<double>(row[j]) * static_cast<double>(y[j]);
                    expected_transposed[j] += static_cast<double>(row[j]) * static_cast<double>(y[i]);
                }
            }
            const double length = p.triangle(packed.data(), size, y.data(), out.data());
            p.triangle_transposed(packed.data(), size, y.data(), transposed.data());
            double norm = 0, shifted = 0;
            for (std::size_t i = 0; i < size; ++i) {
                check_close(out[i], expected[i]);
                check_close(transposed[i], expected_transposed[i]);
                norm += expected[i] * expected[i];
                shifted += (expected[i] + static_cast<double>(c[i])) * (expected[i] + static_cast<double>(c[i]));
            }
            check_close(length, norm);
            check_close(p.triangle_norm2(packed.data(), size, y.data(), nullptr), norm);
            check_close(p.triangle_norm2(packed.data(), size, y.data(), c.data()), shifted);
        }
    }
}

// The way back: every float16 is its own nearest, halfway goes to even, beyond the largest is infinity.
TEST(kernels_nearest_half) {
    regad::Buffer<std::uint16_t> halves(16);
    regad::Buffer<float> wide(16);
    for (std::uint32_t i = 0; i < 0x7c00; ++i) {
        halves[0] = static_cast<std::uint16_t>(i);
        halves[1] = static_cast<std::uint16_t>(i + 1);
        regad::kernels_base.widen(halves.data(), 8, wide.data());
        CHECK_EQUAL(regad::to_half(wide[0]), i);
        CHECK_EQUAL(regad::to_half(-wide[0]), i | 0x8000U);
        if (i == 0x7bff) {
            wide[1] = 65536.0F;  // where the next number would be
        }
        const float middle = wide[0] + (wide[1] - wide[0]) / 2;  // exact
        CHECK_EQUAL(regad::to_half(middle), i + (i & 1U));
        CHECK_EQUAL(regad::to_half(std::nextafter(middle, 0.0F)), i);
        CHECK_EQUAL(regad::to_half(std::nextafter(middle, INFINITY)), i + 1);
    }
    CHECK_EQUAL(regad::to_half(1e9F), 0x7c00U);
    CHECK_EQUAL(regad::to_half(-INFINITY), 0xfc00U);
    CHECK_EQUAL(regad::to_half(NAN) & 0x7e00U, 0x7e00U);
    CHECK_EQUAL(regad::to_half(1e-9F), 0U);
}

// Every float16 there is, against its definition (IEEE 754 binary16); and every set bit for bit as the plain one.
TEST(kernels_widen) {
    constexpr std::size_t count = 65536;
    regad::Buffer<std::uint16_t> halves(count);
    for (std::size_t i = 0; i < count; ++i) {
        halves[i] = static_cast<std::uint16_t>(i);
    }
    regad::Buffer<float> plain(count), values(count);
    regad::kernels_base.widen(halves.data(), count, plain.data());
    for (std::size_t i = 0; i < count; ++i) {
        const int exponent = static_cast<int>(i >> 10U & 31U), mantissa = static_cast<int>(i & 1023U);
        const double sign = (i & 0x8000U) != 0 ? -1 : 1;
        if (exponent == 31) {
            CHECK(mantissa == 0 ? std::isinf(plain[i]) : std::isnan(plain[i]));
        } else {
            const double expected = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
            CHECK_EQUAL(static_cast<double>(plain[i]), sign * expected);
        }
        CHECK_EQUAL(std::signbit(plain[i]), sign < 0);
    }
    for (const regad::Kernels *k : sets()) {
        k->widen(halves.data(), count, values.data());
        CHECK(std::memcmp(values.data(), plain.data(), count * sizeof(float)) == 0);
    }
}
