// The compiled scorer against the equations written plainly in double, and the smoothing against its matrix.
#include "core/scorer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "check.hpp"
#include "files.hpp"
#include "core/judge.hpp"
#include "core/kernels.hpp"
#include "core/smoothing.hpp"

namespace {

using Vector = std::vector<double>;

struct Case {
    regad::Statistics statistics;
    std::vector<float> f1, f2, f3;
    std::size_t batch;
};

std::vector<float> random_floats(std::size_t count, unsigned seed) {
    std::minstd_rand random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> values(count);
    for (float &value : values) {
        value = uniform(random);
    }
    return values;
}

// Features, for statistics without their tensors.
Case make_empty_case(const char *encoding, std::size_t rank, std::size_t batch, std::size_t finest = 1) {
    Case made;
    made.batch = batch;
    made.statistics.encoding = regad::encoding_from(encoding);
    made.statistics.rank = rank;
    made.statistics.finest = finest;
    made.f1 = random_floats(batch * 3136 * 64, 21);
    made.f2 = random_floats(batch * 784 * 128, 22);
    made.f3 = random_floats(batch * 196 * 256, 23);
    return made;
}

regad::Buffer<float> draw(const files::Drawn &tensor) {
    regad::Buffer<float> values(static_cast<std::size_t>(tensor.count()));
    files::fill(values.data(), values.size(), tensor.seed, tensor.scale);
    return values;
}

Case make_case(const char *encoding, std::size_t rank, std::size_t batch, std::size_t finest = 1) {
    Case made = make_empty_case(encoding, rank, batch, finest);
    for (const files::Drawn &tensor : files::drawn(encoding, rank, 7, finest)) {
        made.statistics.tensors.emplace(tensor.name, draw(tensor));
    }
    return made;
}

Vector centered(const std::vector<float> &f, const float *mean, std::size_t image, std::size_t positions,
                std::size_t p, std::size_t channels) {
    Vector d(channels);
    for (std::size_t c = 0; c < channels; ++c) {
        d[c] = static_cast<double>(f[(image * positions + p) * channels + c]) - static_cast<double>(mean[p * channels + c]);
    }
    return d;
}

double norm2(const Vector &v) {
    double total = 0;
    for (const double value : v) {
        total += value * value;
    }
    return total;
}

void add_product(const float *m, std::size_t rows, const Vector &v, Vector &out) {
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < v.size(); ++j) {
            out[i] += static_cast<double>(m[i * v.size() + j]) * v[j];
        }
    }
}

// The format in plain words: row r lacks the columns before 16 * floor(r / 16).
void add_stairs(const float *packed, const Vector &v, Vector &out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
        for (std::size_t j = i / 16 * 16; j < v.size(); ++j) {
            out[i] += static_cast<double>(*packed++) * v[j];
        }
    }
}

Vector triangle(const float *packed, const Vector &v, bool transposed = false) {
    Vector out(v.size());
    for (std::size_t i = 0; i < v.size(); packed += ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            out[transposed ? j : i] += static_cast<double>(packed[j]) * v[transposed ? i : j];
        }
    }
    return out;
}

double squared(const Case &c, std::size_t image, std::size_t p) {
    const std::size_t y = p / 56, x = p % 56;
    const std::size_t p2 = y / 2 * 28 + x / 2, p3 = y / 4 * 14 + x / 4;
    const regad::Statistics &s = c.statistics;
    const std::size_t rank = s.rank;
    const Vector d1 = centered(c.f1, s.at<float>("mean1"), image, 3136, p, 64);
    const Vector d2 = centered(c.f2, s.at<float>("mean2"), image, 784, p2, 128);
    const Vector d3 = centered(c.f3, s.at<float>("mean3"), image, 196, p3, 256);
    if (s.encoding == regad::Encoding::cholesky) {
        Vector context = d3;
        context.insert(context.end(), d2.begin(), d2.end());
        Vector z2 = triangle(s.at<float>("w2_packed") + p2 * regad::packed_length(128), d2);
        Vector z1 = triangle(s.at<float>("w1_packed") + p * regad::packed_length(64), d1);
        add_product(s.at<float>("w2_cross") + p2 * 128 * 256, 128, d3, z2);
        add_product(s.at<float>("w1_cross") + p * 64 * 384, 64, context, z1);
        return norm2(triangle(s.at<float>("w3_packed") + p3 * regad::packed_length(256), d3)) + norm2(z2) + norm2(z1);
    }
    Vector v(rank);
    add_product(s.at<float>("x2") + p2 * rank * 128, rank, d2, v);
    add_stairs(s.at<float>("x3_packed") + p3 * regad::staircase_length(rank), d3, v);
    const double coarse = norm2(d2) + norm2(d3);
    if (s.encoding == regad::Encoding::gram) {
        add_product(s.at<float>("x1") + p * rank * 64, rank, d1, v);
        return (coarse + norm2(d1) - norm2(triangle(s.at<float>("l_packed") + p * regad::packed_length(rank), v))) / 0.01;
    }
    const float *l = s.at<float>("l_packed") + p2 * regad::packed_length(rank);
    const Vector z = triangle(l, v);
    const Vector a = triangle(l, z, true);
    Vector rest = d1;
    for (std::size_t r = 0; r < rank; ++r) {
        for (std::size_t ch = 0; ch < 64; ++ch) {
            rest[ch] -= static_cast<double>(s.at<float>("x1")[(p * rank + r) * 64 + ch]) * a[r];
        }
    }
    return (coarse - norm2(z)) / 0.01 + norm2(triangle(s.at<float>("w1_packed") + p * regad::packed_length(64), rest));
}

// The same of one level alone, at one of its cells.
double squared_alone(const Case &c, std::size_t image, std::size_t p) {
    const regad::Statistics &s = c.statistics;
    const std::string n = std::to_string(s.finest);
    const std::size_t channels = regad::channels_of(s.finest), rank = s.rank;
    const Vector d = centered(s.finest == 2 ? c.f2 : c.f3, s.at<float>("mean" + n), image, regad::positions_of(s.finest),
                              p, channels);
    if (s.encoding == regad::Encoding::cholesky) {
        return norm2(triangle(s.at<float>("w" + n + "_packed") + p * regad::packed_length(channels), d));
    }
    Vector y(rank);
    add_stairs(s.at<float>("x" + n + "_packed") + p * regad::staircase_length(rank, channels), d, y);
    const float *l = s.at<float>("l" + n + "_packed") + p * regad::packed_length(rank);
    return (norm2(d) - norm2(triangle(l, y))) / 0.01;
}

void compare_alone(const char *encoding, std::size_t rank, std::size_t batch, std::size_t finest) {
    const Case c = make_case(encoding, rank, batch, finest);
    const std::size_t positions = regad::positions_of(finest);
    regad::Pool pool(2);
    regad::ScorerWorkspace workspace;
    std::vector<float> got(batch * positions);
    // A level that is not scored is not read.
    const regad::Features features = {nullptr, finest == 2 ? c.f2.data() : nullptr, finest == 3 ? c.f3.data() : nullptr};
    regad::mahalanobis(c.statistics, features, batch, workspace, pool, got.data());
    for (std::size_t i = 0; i < got.size(); i += 3) {
        const double expected = std::sqrt(std::max(squared_alone(c, i / positions, i % positions), 0.0));
        CHECK(std::fabs(static_cast<double>(got[i]) - expected) <= 1e-5 * expected + 1e-5);
    }
}

void check_distances(const Case &c, const std::vector<float> &got) {
    for (std::size_t i = 0; i < got.size(); i += 17) {
        const double expected = std::sqrt(std::max(squared(c, i / 3136, i % 3136), 0.0));
        CHECK(std::fabs(static_cast<double>(got[i]) - expected) <= 1e-5 * expected + 1e-5);
    }
}

std::vector<float> distances_of(const Case &c, const regad::Statistics &statistics, std::size_t threads) {
    regad::Pool pool(threads);
    regad::ScorerWorkspace workspace;
    std::vector<float> got(c.batch * 3136);
    regad::mahalanobis(statistics, {c.f1.data(), c.f2.data(), c.f3.data()}, c.batch, workspace, pool, got.data());
    return got;
}

void compare(const char *encoding, std::size_t rank, std::size_t batch, std::size_t threads) {
    const Case c = make_case(encoding, rank, batch);
    check_distances(c, distances_of(c, c.statistics, threads));
}

// Statistics stored as float16 and the same values widened, which are returned: the same distances bit for bit.
Case compare_halves(const char *encoding, std::size_t rank, std::size_t batch, std::size_t threads) {
    Case whole = make_empty_case(encoding, rank, batch);
    regad::Statistics half;
    half.encoding = whole.statistics.encoding;
    half.rank = rank;
    for (const files::Drawn &tensor : files::drawn(encoding, rank, 7)) {
        regad::Buffer<float> wide = draw(tensor);
        if (files::stays_wide(tensor.name)) {
            half.tensors.emplace(tensor.name, draw(tensor));
        } else {
            regad::Buffer<std::uint16_t> stored(wide.size());
            files::halve(wide.data(), wide.size(), stored.data());
            regad::kernels_base.widen(stored.data(), stored.size(), wide.data());
            half.halves.emplace(tensor.name, std::move(stored));
        }
        whole.statistics.tensors.emplace(tensor.name, std::move(wide));
    }
    const std::vector<float> got = distances_of(whole, half, threads);
    const std::vector<float> expected = distances_of(whole, whole.statistics, threads);
    CHECK(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0);
    CHECK(*std::max_element(got.begin(), got.end()) > 1);
    return whole;
}

}  // namespace

TEST(scorer_gram) {
    compare("gram", 1, 1, 1);
    compare("gram", 43, 2, 2);
}

TEST(scorer_hybrid) {
    compare("hybrid", 5, 1, 2);
    compare("hybrid", 43, 2, 1);
    compare("hybrid", 259, 1, 2);
}

// Half a gigabyte: as float16, and then in the same memory as float32.
TEST(scorer_cholesky) {
    Case c = compare_halves("cholesky", 43, 1, 2);
    for (const files::Drawn &tensor : files::drawn("cholesky", 43, 7)) {
        regad::Buffer<float> &values = c.statistics.tensors.at(tensor.name);
        files::fill(values.data(), values.size(), tensor.seed, tensor.scale);
    }
    check_distances(c, distances_of(c, c.statistics, 2));
}

TEST(scorer_of_a_level_alone) {
    for (const std::size_t finest : {2U, 3U}) {
        compare_alone("gram", 1, 1, finest);
        compare_alone("gram", 43, 2, finest);
        compare_alone("gram", finest == 2 ? 131 : 259, 1, finest);
        compare_alone("cholesky", 43, 2, finest);
    }
    CHECK_THROWS(regad::tensor_shapes(regad::Encoding::hybrid, 3, 2), "do not begin with level 2");
    CHECK_THROWS(regad::tensor_shapes(regad::Encoding::gram, 3, 4), "do not begin with level 4");
}

TEST(groups_are_scored_one_after_another) {
    const Case two = make_case("cholesky", 3, 2, 2), three = make_case("gram", 3, 2, 3);
    regad::StatisticsGroups groups(2);
    for (const Case *one : {&two, &three}) {
        regad::Statistics &group = groups[one == &two ? 0 : 1];
        group.encoding = one->statistics.encoding;
        group.rank = 3;
        group.finest = one->statistics.finest;
        for (const auto &[name, tensor] : one->statistics.tensors) {
            regad::Buffer<float> values(tensor.size());
            std::copy(tensor.begin(), tensor.end(), values.begin());
            group.tensors.emplace(name, std::move(values));
        }
    }
    CHECK_EQUAL(regad::form_name(groups), "cholesky_f2_gram_f3");
    CHECK_EQUAL(regad::encodings_of(groups), "cholesky+gram");
    regad::Pool pool(2);
    regad::ScorerWorkspace workspace;
    std::vector<float> both(2 * (784 + 196)), alone(both.size());
    const regad::Features features = {nullptr, two.f2.data(), three.f3.data()};
    regad::mahalanobis(groups, features, 2, workspace, pool, both.data());
    regad::mahalanobis(two.statistics, features, 2, workspace, pool, alone.data());
    regad::mahalanobis(three.statistics, features, 2, workspace, pool, alone.data() + 2 * 784);
    CHECK(both == alone);
}

std::vector<float> some_distances(std::size_t count, unsigned seed) {
    std::vector<float> distances = random_floats(count, seed);
    for (float &value : distances) {
        value = std::fabs(value);
    }
    return distances;
}

// The largest values in plain words: sorted, and the mean of the first ones.
TEST(judging_scales_and_ranks) {
    for (const bool regad : {true, false}) {
        std::vector<float> finer = some_distances(784, 4), workspace(regad::judging_workspace), map(224 * 224);
        const std::size_t count = regad ? 3136 : 196;
        std::vector<float> distances = some_distances(count, 3), scaled(count);
        const float *groups[] = {regad ? distances.data() : finer.data(), distances.data()};
        regad::Scoring scoring;
        scoring.groups = regad ? regad::Groups{1} : regad::Groups{2, 3};
        scoring.scale = regad::Buffer<float>(count);
        for (std::size_t i = 0; i < count; ++i) {
            scoring.scale[i] = 0.5F + static_cast<float>(i % 7);
            scaled[i] = distances[i] * scoring.scale[i];
        }
        std::sort(scaled.begin(), scaled.end(), std::greater<float>());
        for (std::size_t cells = 1; cells <= count; cells = cells * 3 + 1) {
            double sum = 0;
            for (std::size_t i = 0; i < cells; ++i) {
                sum += static_cast<double>(scaled[i]);
            }
            scoring.cells = cells;
            CHECK_EQUAL(regad::judge(scoring, groups, workspace.data(), map.data()),
                        static_cast<float>(sum / static_cast<double>(cells)));
        }
        distances[5] = NAN;
        CHECK(std::isnan(regad::judge(scoring, groups, workspace.data(), map.data())));
    }
}

TEST(the_map_of_one_group_is_smoothed_as_it_is) {
    const std::vector<float> distances = some_distances(3136, 3);
    std::vector<float> workspace(regad::judging_workspace), map(224 * 224), smoothed(map.size());
    const float *groups[] = {distances.data()};
    const float highest = regad::judge(regad::Scoring(), groups, workspace.data(), map.data());
    CHECK_EQUAL(highest, regad::smooth(distances.data(), 56, workspace.data(), smoothed.data()));
    CHECK(map == smoothed);
}

// Bilinear from 14 to 28 in plain words: the middle of a fine cell lies a quarter of a coarse one from its own middle.
TEST(the_map_of_two_groups_is_their_product) {
    const std::vector<float> finer = some_distances(784, 4), coarse = some_distances(196, 3);
    std::vector<float> workspace(regad::judging_workspace), map(224 * 224), smoothed(map.size()), product(784);
    const auto at = [&coarse](int y, int x) {
        return static_cast<double>(coarse[static_cast<std::size_t>(std::clamp(y, 0, 13) * 14 + std::clamp(x, 0, 13))]);
    };
    for (int y = 0; y < 28; ++y) {
        for (int x = 0; x < 28; ++x) {
            const int down = y % 2 == 0 ? -1 : 1, right = x % 2 == 0 ? -1 : 1;
            const double grown = 0.5625 * at(y / 2, x / 2) + 0.1875 * at(y / 2 + down, x / 2) +
                                 0.1875 * at(y / 2, x / 2 + right) + 0.0625 * at(y / 2 + down, x / 2 + right);
            const auto i = static_cast<std::size_t>(y * 28 + x);
            product[i] = static_cast<float>(std::sqrt(static_cast<double>(finer[i]) * grown) * 0.25);
        }
    }
    regad::Scoring scoring;
    scoring.groups = {2, 3};
    scoring.cells = 4;
    scoring.map_gain = 0.25F;
    const float *groups[] = {finer.data(), coarse.data()};
    regad::judge(scoring, groups, workspace.data(), map.data());
    regad::smooth(product.data(), 28, workspace.data(), smoothed.data());
    for (std::size_t i = 0; i < map.size(); ++i) {
        CHECK(std::fabs(map[i] - smoothed[i]) < 1e-6F);
    }
}

TEST(scorer_fp16) {
    compare_halves("gram", 1, 1, 1);
    compare_halves("gram", 43, 2, 2);
    compare_halves("hybrid", 43, 2, 1);
    compare_halves("hybrid", 259, 1, 2);
}

TEST(scorer_workspace_survives_want_of_memory) {
    regad::ScorerWorkspace workspace;
    CHECK_THROWS(workspace.reserve(3, std::size_t{1} << 48U, 2), "bad_alloc");
    workspace.reserve(3, 2, 2);  // within what was refused
    const std::size_t room = workspace.vector_length() * regad::ScorerWorkspace::vector_count;
    std::fill_n(workspace.vectors(1, 1), room, 1.0F);  // the last of them; AddressSanitizer looks
    CHECK_EQUAL(workspace.vectors(1, 1)[room - 1], 1.0F);
}

TEST(smoothing_is_its_matrix) {
    for (const std::size_t grid : {56U, 28U}) {
        const std::vector<float> a = regad::smoothing_matrix(grid);
        const std::vector<float> m = random_floats(grid * grid, 9);
        std::vector<float> workspace(regad::smoothing_workspace), map(224 * 224);
        const float largest = regad::smooth(m.data(), grid, workspace.data(), map.data());
        double most = -1e9;
        for (std::size_t y = 0; y < 224; ++y) {
            double sum = 0;
            for (std::size_t j = 0; j < grid; ++j) {
                sum += static_cast<double>(a[y * grid + j]);
            }
            CHECK(std::fabs(sum - 1) < 1e-6);
            for (std::size_t x = 0; x < 224; x += 5) {
                double total = 0;
                for (std::size_t i = 0; i < grid; ++i) {
                    for (std::size_t j = 0; j < grid; ++j) {
                        total += static_cast<double>(a[y * grid + i]) * static_cast<double>(m[i * grid + j]) *
                                 static_cast<double>(a[x * grid + j]);
                    }
                }
                CHECK(std::fabs(static_cast<double>(map[y * 224 + x]) - total) < 1e-5);
            }
            for (std::size_t x = 0; x < 224; ++x) {
                most = std::max(most, static_cast<double>(map[y * 224 + x]));
            }
        }
        CHECK_EQUAL(static_cast<double>(largest), most);
    }
}
