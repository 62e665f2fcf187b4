// The registration: its kernels of every instruction set against plain loops, and a drawn part found where it lies.
#include "core/registration.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <random>
#include <vector>

#include "check.hpp"
#include "core/fill.hpp"
#include "core/kernels.hpp"

namespace {

using regad::coarse_cells;
using regad::coarse_length;

std::vector<const regad::PoseKernels *> pose_sets() {
    std::vector<const regad::PoseKernels *> list = {&regad::kernels_base.pose};
#if defined(__x86_64__)
    if (&regad::kernels() != &regad::kernels_base) {
        list.push_back(&regad::kernels_avx2.pose);
    }
    if (&regad::kernels() == &regad::kernels_avx512) {
        list.push_back(&regad::kernels_avx512.pose);
    }
#endif
    return list;
}

regad::Buffer<float> unit_floats(std::size_t count, unsigned seed) {
    std::minstd_rand random(seed);
    std::uniform_real_distribution<float> uniform(0, 1);
    regad::Buffer<float> values(count);
    for (float &value : values) {
        value = uniform(random);
    }
    return values;
}

void check_close(double got, double expected, double tolerance) { CHECK(std::fabs(got - expected) <= tolerance); }

std::size_t reversed(std::size_t i) { return i / 16 + i / 4 % 4 * 4 + i % 4 * 16; }

// A bent bar on plain ground, turned by `angle` (radians) and shifted; bytes of `layout`, rows `stride` bytes apart.
std::vector<unsigned char> draw(int width, int height, int channels, double angle, double dx, double dy) {
    std::vector<unsigned char> pixels(static_cast<std::size_t>(width * height * channels));
    const double size = std::min(width, height) / 2.0, c = std::cos(angle), s = std::sin(angle);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const double across = (x + 0.5 - width / 2.0 - dx) / size, down = (y + 0.5 - height / 2.0 - dy) / size;
            const double u = c * across + s * down, v = c * down - s * across;
            const double arm = std::max(std::fabs(u) - 0.7, std::fabs(v) - 0.15);
            const double foot = std::max(std::fabs(u - 0.55) - 0.15, std::fabs(v - 0.25) - 0.25);
            const double inside = std::clamp(0.5 - std::min(arm, foot) * size / 2, 0.0, 1.0);
            for (int channel = 0; channel < channels; ++channel) {
                pixels[static_cast<std::size_t>((y * width + x) * channels + channel)] =
                    static_cast<unsigned char>(200 - inside * (90 + 20 * channel));
            }
        }
    }
    return pixels;
}

struct Scene {
    regad::Pool pool{2};
    std::vector<unsigned char> known;
    std::vector<float> cells = std::vector<float>(256 * 256);
    regad::Plane plane;
    regad::Box box;
    regad::TemplateData data;
    int width, height;

    Scene(int columns, int rows)
        : known(draw(columns, rows, 3, 0, 0, 0)), box{0, 0, columns, rows}, data{}, width(columns), height(rows) {
        plane.sample({known.data(), width, height, 3 * width, {3, {0, 1, 2}}}, box, true, pool);
        const double longest = std::max(width, height);
        data = {cells.data(), {0.3F, 0.4F, 0.3F}, plane.region(), 192 * width / longest, 192 * height / longest, 128, 128};
        plane.grey(data.weights, pool, cells.data());
    }
};

}  // namespace

TEST(registration_transforms) {
    for (const regad::PoseKernels *k : pose_sets()) {
        const auto in_re = unit_floats(coarse_length, 1), in_im = unit_floats(coarse_length, 2);
        regad::Buffer<float> re(coarse_length), im(coarse_length);
        std::copy(in_re.begin(), in_re.end(), re.begin());
        std::copy(in_im.begin(), in_im.end(), im.begin());
        k->forward(re.data(), im.data());
        for (std::size_t row = 0; row < coarse_cells; row += 7) {
            for (std::size_t column = 0; column < coarse_cells; column += 9) {
                std::complex<double> expected = 0;
                for (std::size_t y = 0; y < coarse_cells; ++y) {
                    const std::size_t at = y * coarse_cells + column;
                    expected += std::complex<double>(in_re[at], in_im[at]) *
                                std::polar(1.0, -2 * M_PI * static_cast<double>(row * y % 64) / 64);
                }
                const std::size_t at = reversed(row) * coarse_cells + column;
                check_close(re[at], expected.real(), 1e-4);
                check_close(im[at], expected.imag(), 1e-4);
            }
        }
        k->inverse(re.data(), im.data());
        regad::Buffer<float> turned(coarse_length);
        k->transpose(re.data(), turned.data());
        for (std::size_t i = 0; i < coarse_length; ++i) {
            check_close(re[i] / 64, in_re[i], 1e-5);
            check_close(im[i] / 64, in_im[i], 1e-5);
            CHECK_EQUAL(turned[i % 64 * 64 + i / 64], re[i]);
        }
    }
}

TEST(registration_tracks_as_plain_loops_do) {
    const std::int32_t size = 64, count = 37;
    const auto image = unit_floats(64 * 64, 3), rows = unit_floats(5 * 48, 4);
    for (const regad::PoseKernels *k : pose_sets()) {
        regad::TrackRow row{image.data(), size, 5.3F, 8.1F, 0.96F, 0.3F, 3, 4, 36, 40, count, rows.data(),
                            {rows.data() + 48, rows.data() + 96, rows.data() + 144, rows.data() + 192}};
        double sums[regad::track_sums] = {}, expected[regad::track_sums] = {};
        k->track(row, sums);
        for (int i = 0; i < count; ++i) {
            const double x = 5.3 + 0.96 * i, y = 8.1 + 0.3 * i;
            if (x > 36) {
                break;
            }
            const int left = static_cast<int>(x), top = static_cast<int>(y);
            const double u = x - left, v = y - top, t = rows[static_cast<std::size_t>(i)];
            const float *p = image.data() + top * size + left;
            const double q = (p[0] * (1 - u) + p[1] * u) * (1 - v) + (p[size] * (1 - u) + p[size + 1] * u) * v;
            const double first[6] = {1, q, q * q, q * t, t, t * t};
            for (int j = 0; j < 6; ++j) {
                expected[j] += first[j];
            }
            for (std::size_t j = 0; j < 4; ++j) {
                const double s = row.steepest[j][i];
                expected[6 + j] += q * s, expected[10 + j] += s, expected[14 + j] += s * t;
            }
        }
        for (std::size_t j = 0; j < regad::track_sums; ++j) {
            check_close(sums[j], expected[j], 1e-3);
        }
    }
}

TEST(registration_shrinks_and_smooths_as_plain_loops_do) {
    const auto noise = unit_floats(3 * 100, 5);
    std::vector<unsigned char> bytes(3 * 100);
    std::transform(noise.begin(), noise.end(), bytes.begin(), [](float v) { return static_cast<unsigned char>(255 * v); });
    const std::int32_t equal[3] = {1398101, 1398101, 1398101}, unequal[3] = {1000000, 2000000, 1194304};
    for (const regad::PoseKernels *k : pose_sets()) {
        for (const std::int32_t *weights : {equal, unequal}) {
            unsigned char out[100];
            k->shrink(bytes.data(), 100, 3, weights, weights == equal, 100, out);
            for (std::size_t i = 0; i < 100; ++i) {
                const std::int64_t sum = std::int64_t{weights[0]} * bytes[i] + std::int64_t{weights[1]} * bytes[100 + i] +
                                         std::int64_t{weights[2]} * bytes[200 + i] + (1 << 21);
                CHECK_EQUAL(static_cast<int>(out[i]), static_cast<int>(sum >> 22));
            }
        }
        float smooth[100], slope[100];
        const float *above = noise.data(), *here = above + 100, *below = above + 200;
        k->smooth(above, here, below, 100, smooth);
        k->slope(above, here, below, 100, slope);
        const auto sum = [&](std::size_t i) { return above[i] + 2 * here[i] + below[i]; };
        for (std::size_t i = 0; i < 100; ++i) {
            const std::size_t left = i == 0 ? 0 : i - 1, right = i == 99 ? 99 : i + 1;
            check_close(smooth[i], (sum(left) + 2 * sum(i) + sum(right)) / 16, 1e-5);
            const float across = i == 0 || i == 99 ? 0 : (here[right] - here[left]) / 2;
            check_close(slope[i], std::hypot(across, (below[i] - above[i]) / 2), 1e-5);
        }
    }
}

TEST(registration_finds_a_part_where_it_lies) {
    const int sizes[][2] = {{300, 300}, {640, 480}, {1920, 1080}};
    for (const auto &size : sizes) {
        Scene scene(size[0], size[1]);
        const regad::Template part(scene.data, scene.pool);
        regad::Registration registration;
        const double longest = size[0];
        for (const double degrees : {0.0, 3.0, 47.0, -133.0, 180.0}) {
            const double dx = 0.06 * longest, dy = -0.04 * longest;
            const auto pixels = draw(size[0], size[1], 3, degrees * M_PI / 180, dx, dy);
            const regad::Found found = registration.find(
                part, {pixels.data(), size[0], size[1], 3 * size[0], {3, {0, 1, 2}}}, scene.box, true, scene.pool);
            const double angle = std::atan2(found.pose.b, found.pose.a) * 180 / M_PI;
            check_close(std::remainder(angle - degrees, 360.0), 0, 0.1);
            check_close(found.pose.tx, 192 * dx / longest, 0.15);
            check_close(found.pose.ty, 192 * dy / longest, 0.15);
            CHECK(found.quality > 0.97);
        }
    }
}

TEST(frame_to_input_takes_the_part_where_it_is_sampled) {
    Scene scene(640, 480);
    const regad::Template part(scene.data, scene.pool);
    const regad::Spot spot{0, 28, 224, 168};
    const regad::Affine still = regad::frame_to_input(part, spot, {1, 0, 0, 0}, scene.box);
    check_close(still.m[0][0], 224.0 / 640, 1e-12);
    check_close(still.m[0][1], 0, 1e-12);
    check_close(still.m[0][2], 0, 1e-9);
    check_close(still.m[1][2], 28, 1e-9);
    // A quarter turn, twice as large: a step to the right in the frame is half a step up in the part.
    const regad::Affine turned = regad::frame_to_input(part, spot, {0, 2, 0, 0}, scene.box);
    check_close(turned.m[0][0], 0, 1e-12);
    check_close(turned.m[1][0], -0.5 * 224 / 640, 1e-12);
    check_close(turned.m[0][1], 0.5 * 224 / 640, 1e-12);
}

TEST(filling_carries_the_light_on) {
    std::vector<unsigned char> reference(regad::image_bytes), image(regad::image_bytes);
    for (std::size_t i = 0; i < regad::image_bytes; ++i) {
        reference[i] = static_cast<unsigned char>(100 + i / 3 % 224 % 50);
        image[i] = static_cast<unsigned char>(reference[i] + 20 + 5 * (i % 3));
    }
    const std::vector<unsigned char> wanted = image;
    std::vector<float> seen(regad::positions1, 1.0F);
    regad::Filling filling;
    filling.run(reference.data(), seen.data(), image.data());
    CHECK(image == wanted);
    for (std::size_t i = 0; i < regad::positions1; ++i) {
        seen[i] = i % 56 < 30 ? 1.0F : 0.5F;
    }
    for (std::size_t i = 0; i < regad::image_bytes; ++i) {
        image[i] = i / 3 % 224 < 120 ? image[i] : 255;
    }
    filling.run(reference.data(), seen.data(), image.data());
    CHECK(image == wanted);
    std::fill(seen.begin(), seen.end(), 0.0F);
    filling.run(reference.data(), seen.data(), image.data());
    CHECK(image == reference);
}

TEST(registration_reads_every_layout_and_rows_from_below) {
    Scene scene(400, 300);
    const regad::Template part(scene.data, scene.pool);
    const auto rgb = draw(400, 300, 3, 0.4, 10, 5);
    std::vector<unsigned char> bgra(400 * 300 * 4, 9);
    for (std::size_t i = 0; i < 400 * 300; ++i) {
        const std::size_t row = 299 - i / 400;
        for (std::size_t channel = 0; channel < 3; ++channel) {
            bgra[4 * (row * 400 + i % 400) + 2 - channel] = rgb[3 * i + channel];
        }
    }
    regad::Registration registration;
    std::vector<unsigned char> images[2];
    std::vector<float> seen(regad::positions1);
    const regad::Pixels frames[2] = {{rgb.data(), 400, 300, 3 * 400, {3, {0, 1, 2}}},
                                     {bgra.data() + 299 * 1600, 400, 300, -1600, {4, {2, 1, 0}}}};
    for (int i = 0; i < 2; ++i) {
        const regad::Found found = registration.find(part, frames[i], scene.box, true, scene.pool);
        images[i].resize(regad::image_bytes);
        registration.warp(part, {0, 0, 224, 224}, found.pose, scene.pool, images[i].data(), seen.data());
    }
    CHECK(images[0] == images[1]);
}

TEST(registration_of_a_blank_frame_fits_nothing) {
    Scene scene(300, 200);
    const regad::Template part(scene.data, scene.pool);
    regad::Registration registration;
    for (const int side : {1, 2, 300}) {
        const std::vector<unsigned char> blank(static_cast<std::size_t>(side * side) * 3, 77);
        const regad::Found found = registration.find(part, {blank.data(), side, side, 3 * side, {3, {0, 1, 2}}},
                                                     {0, 0, side, side}, true, scene.pool);
        check_close(found.quality, 0, 1e-6);
    }
}
