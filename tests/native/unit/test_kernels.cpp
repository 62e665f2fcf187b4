// Every instruction set's kernels against plain loops.
#include "kernels.hpp"

#include <cmath>
#include <random>
#include <vector>

#include "buffer.hpp"
#include "check.hpp"
#include "statistics.hpp"

namespace {

std::vector<const regad::Kernels *> sets() {
    std::vector<const regad::Kernels *> list = {&regad::kernels_base};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        list.push_back(&regad::kernels_avx2);
    }
    if (&regad::kernels() == &regad::kernels_avx512) {
        list.push_back(&regad::kernels_avx512);
    }
#endif
    return list;
}

regad::Buffer<float> random_floats(std::size_t count, unsigned seed) {
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
        for (const std::size_t columns : {64U, 128U, 256U, 384U}) {
            const std::size_t rows = 13;
            const auto m = random_floats(rows * columns, 1), v = random_floats(columns, 2), a = random_floats(columns, 3);
            regad::Buffer<float> out(rows), d(columns), t(columns);
            const float length = k->subtract(v.data(), a.data(), columns, d.data());
            double squares = 0;
            for (std::size_t i = 0; i < columns; ++i) {
                check_close(d[i], v[i] - a[i]);
                squares += static_cast<double>(v[i] - a[i]) * static_cast<double>(v[i] - a[i]);
            }
            check_close(length, squares);
            k->multiply(m.data(), rows, columns, v.data(), false, out.data());
            k->multiply(m.data(), rows, columns, v.data(), true, out.data());
            std::copy(a.begin(), a.end(), t.begin());
            k->subtract_transposed(m.data(), rows, columns, v.data(), t.data());
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

TEST(kernels_triangle) {
    for (const regad::Kernels *k : sets()) {
        for (std::size_t size = 1; size < 70; ++size) {
            const auto packed = random_floats(regad::packed_length(size), 4), y = random_floats(size, 5);
            const auto c = random_floats(size, 6);
            regad::Buffer<float> out(size), transposed(size + 8);
            std::vector<double> expected(size), expected_transposed(size);
            const float *row = packed.data();
            for (std::size_t i = 0; i < size; row += ++i) {
                for (std::size_t j = 0; j <= i; ++j) {
                    expected[i] += static_cast<double>(row[j]) * static_cast<double>(y[j]);
                    expected_transposed[j] += static_cast<double>(row[j]) * static_cast<double>(y[i]);
                }
            }
            k->triangle(packed.data(), size, y.data(), false, out.data());
            k->triangle_transposed(packed.data(), size, y.data(), transposed.data());
            double norm = 0, shifted = 0;
            for (std::size_t i = 0; i < size; ++i) {
                check_close(out[i], expected[i]);
                check_close(transposed[i], expected_transposed[i]);
                norm += expected[i] * expected[i];
                shifted += (expected[i] + static_cast<double>(c[i])) * (expected[i] + static_cast<double>(c[i]));
            }
            check_close(k->triangle_norm2(packed.data(), size, y.data(), nullptr), norm);
            check_close(k->triangle_norm2(packed.data(), size, y.data(), c.data()), shifted);
        }
    }
}
