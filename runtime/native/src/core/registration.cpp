#include "core/registration.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels.hpp"
#include "core/sizes.hpp"

namespace regad {
namespace {

constexpr std::size_t angles = template_angles, candidates_kept = 3;
constexpr int reach = 20;  // coarse pixels
constexpr double upright_gain = 0.02, least_seen = 0.3, apart = 20, still = 0.01;
constexpr double smallest_scale = 0.85, largest_scale = 1.18;
constexpr int steps[edge_levels] = {4, 4, 8};
constexpr double degree = M_PI / 180;

// A part that looks alike at several angles is taken to be turned as little as possible.
double upright(double angle) { return 1 - upright_gain * std::fabs(angle) / 180; }

// The pose after the inverse of a change (of a and b in pixels at `radius`, of tx and ty); its scale is limited.
void compose(const double (&change)[4], double radius, Similarity &pose) {
    const double grow = 1 + change[0] / radius, turn = change[1] / radius, norm = grow * grow + turn * turn;
    const double a = (pose.a * grow + pose.b * turn) / norm, b = (pose.b * grow - pose.a * turn) / norm;
    pose.tx -= a * change[2] - b * change[3];
    pose.ty -= b * change[2] + a * change[3];
    const double scale = std::hypot(a, b), limit = std::clamp(scale, smallest_scale, largest_scale) / scale;
    pose.a = a * limit;
    pose.b = b * limit;
}

}  // namespace

double angle_of(const Similarity &pose) noexcept { return std::atan2(pose.b, pose.a) / degree; }

Registration::Registration()
    : grey_(plane_side * plane_side), query_(4 * coarse_length), peaks_(angles),
      row_sums_(track_sums * plane_side / row_chunk), covered_(map_length) {}

Found Registration::find(const Template &part, const Pixels &image, const Box &box, bool stretched, Pool &pool) {
    plane_.sample(image, box, stretched, pool);
    plane_.grey(part.weights(), pool, grey_.data());
    const Region region = plane_.region();
    edges_.compute(grey_.data(), region, pool);
    Similarity poses[candidates_kept];
    double quality[candidates_kept] = {};
    const std::size_t count = candidates(part, region, pool, poses);
    std::size_t best = 0;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t number = 0; number < 2; ++number) {
            quality[i] = refine(part, number, region, pool, poses[i]);
        }
        const double mine = quality[i] * upright(angle_of(poses[i]));
        best = mine > quality[best] * upright(angle_of(poses[best])) ? i : best;
    }
    Found found;
    bool any = false;
    for (std::size_t i = 0; i < count; ++i) {
        const double between = std::remainder(angle_of(poses[i]) - angle_of(poses[best]), 360.0);
        if (std::fabs(between) > apart) {
            found.rival = any ? std::max(found.rival, quality[i]) : quality[i];
            any = true;
        }
    }
    found.pose = poses[best];
    found.quality = refine(part, 2, region, pool, found.pose);
    return found;
}

void Registration::transform_query(const Region &region) {
    const PoseKernels &k = kernels().pose;
    const Rectangle inside = covered(region, coarse_cells, 1);
    const float *edges = edges_.level[0].data();
    float *re = query_.data(), *im = re + coarse_length, *to_re = im + coarse_length, *to_im = to_re + coarse_length;
    std::fill(re, re + 2 * coarse_length, 0.0F);
    double sum = 0;
    for (int y = inside.top; y < inside.bottom; ++y) {
        for (int x = inside.left; x < inside.right; ++x) {
            sum += static_cast<double>(edges[y * coarse_cells + x]);
        }
    }
    const auto mean = static_cast<float>(sum / ((inside.right - inside.left) * (inside.bottom - inside.top)));
    for (int y = inside.top; y < inside.bottom; ++y) {
        for (int x = inside.left; x < inside.right; ++x) {
            re[y * coarse_cells + x] = edges[y * coarse_cells + x] - mean;
        }
    }
    k.forward(re, im);
    k.transpose(re, to_re);
    k.transpose(im, to_im);
    k.forward(to_re, to_im);
}

// The peak of every angle within reach of where the part is in its template.
void Registration::search(const Template &part, int from_x, int from_y, Pool &pool) {
    const PoseKernels &k = kernels().pose;
    const float *query_re = query_.data() + 2 * coarse_length, *query_im = query_re + coarse_length;
    reserve(waves_, pool.threads() * 4 * coarse_length);
    pool.run(angles / 2, [&](std::size_t pair, std::size_t slot) {
        float *wave = waves_.data() + slot * 4 * coarse_length;
        float *maps = wave + 2 * coarse_length;
        k.multiply(part.spectrum_re(pair), part.spectrum_im(pair), query_re, query_im, wave, wave + coarse_length);
        k.inverse(wave, wave + coarse_length);
        k.transpose(wave, maps);
        k.transpose(wave + coarse_length, maps + coarse_length);
        k.inverse(maps, maps + coarse_length);
        for (std::size_t which = 0; which < 2; ++which) {
            const float *map = maps + which * coarse_length;
            float highest = -1e30F;
            Peak peak;
            for (int y = -reach; y <= reach; ++y) {
                const float *row = map + ((y + from_y) & (coarse_cells - 1)) * coarse_cells;
                for (int x = -reach; x <= reach; ++x) {
                    const float value = row[(x + from_x) & (coarse_cells - 1)];
                    if (value > highest) {
                        highest = value;
                        peak.x = x, peak.y = y;
                    }
                }
            }
            const std::size_t index = 2 * pair + which;
            const double angle = static_cast<double>(std::min(index, angles - index)) * 360 / angles;
            peak.height = static_cast<double>(highest) * upright(angle);
            peaks_[index] = peak;
        }
    });
}

// The poses, best first, of the local maxima over the angle.
std::size_t Registration::candidates(const Template &part, const Region &region, Pool &pool, Similarity *poses) {
    transform_query(region);
    const double scale = static_cast<double>(coarse_cells) / plane_side;
    const int from_x = static_cast<int>(std::nearbyint(part.centre_x() * scale - coarse_cells / 2.0));
    const int from_y = static_cast<int>(std::nearbyint(part.centre_y() * scale - coarse_cells / 2.0));
    search(part, from_x, from_y, pool);
    std::size_t order[angles], count = 0;
    for (std::size_t i = 0; i < angles; ++i) {
        const double height = peaks_[i].height;
        if (height >= peaks_[(i + 1) % angles].height && height >= peaks_[(i + angles - 1) % angles].height) {
            std::size_t at = count++;
            for (; at > 0 && peaks_[order[at - 1]].height < height; --at) {
                order[at] = order[at - 1];
            }
            order[at] = i;
        }
    }
    count = std::min(count, candidates_kept);
    for (std::size_t i = 0; i < count; ++i) {
        const Peak &peak = peaks_[order[i]];
        const double turn = 2 * M_PI * static_cast<double>(order[i]) / angles;
        poses[i] = {std::cos(turn), std::sin(turn),
                    (from_x + peak.x) / scale - (part.centre_x() - plane_side / 2.0),
                    (from_y + peak.y) / scale - (part.centre_y() - plane_side / 2.0)};
    }
    return count;
}

// The sums of PoseKernels::track over the whole template, in an order that does not depend on the threads.
void Registration::sums_at(const Template &part, std::size_t number, const Region &region, Pool &pool, const Similarity &pose,
                           double *sums) {
    const Template::Level &level = part.level(number);
    const double scale = static_cast<double>(level.cells) / plane_side;
    const double centre_x = part.centre_x() * scale, centre_y = part.centre_y() * scale;
    const auto rows = static_cast<std::size_t>(level.height);
    const std::size_t chunks = (rows + row_chunk - 1) / row_chunk;
    std::fill(row_sums_.begin(), row_sums_.begin() + static_cast<std::ptrdiff_t>(chunks * track_sums), 0.0);
    over_rows(rows, pool, [&](std::size_t y, std::size_t) {
        TrackRow row{};
        row.image = edges_.level[number].data();
        row.size = level.cells;
        row.step_x = static_cast<float>(pose.a), row.step_y = static_cast<float>(pose.b);
        row.left = static_cast<float>(region.left * scale), row.right = static_cast<float>(region.right * scale - 1);
        row.top = static_cast<float>(region.top * scale), row.bottom = static_cast<float>(region.bottom * scale - 1);
        row.count = level.width;
        const double x = level.left + 0.5 - centre_x;
        const double down = level.top + static_cast<double>(y) + 0.5 - centre_y;
        row.x = static_cast<float>(centre_x + pose.tx * scale + pose.a * x - pose.b * down - 0.5);
        row.y = static_cast<float>(centre_y + pose.ty * scale + pose.b * x + pose.a * down - 0.5);
        row.values = level.values.data() + y * level.stride;
        for (int j = 0; j < 4; ++j) {
            row.steepest[j] = level.steepest[j].data() + y * level.stride;
        }
        kernels().pose.track(row, row_sums_.data() + y / row_chunk * track_sums);
    });
    std::fill(sums, sums + track_sums, 0.0);
    for (std::size_t i = 0; i < chunks * track_sums; ++i) {
        sums[i % track_sums] += row_sums_[i];
    }
}

// Gauss-Newton steps at one level; the correlation there, or -1 where too little is covered.
double Registration::refine(const Template &part, std::size_t number, const Region &region, Pool &pool,
                            Similarity &pose) {
    const Template::Level &level = part.level(number);
    const double factor = static_cast<double>(plane_side) / level.cells, radius = turn_radius(level.cells);
    const Similarity before = pose;
    double quality = -1;
    bool moving = true;
    for (int step = 0; step <= steps[number]; ++step) {
        double sums[track_sums];
        sums_at(part, number, region, pool, pose, sums);
        if (sums[0] < least_seen * static_cast<double>(level.width) * level.height) {
            pose = before;
            return -1;
        }
        const double n = sums[0], q = sums[1] / n, t = sums[4] / n;
        const double cross = sums[3] - q * sums[4], own = sums[5] - t * sums[4], theirs = sums[2] - q * sums[1];
        quality = cross / std::sqrt(std::max(theirs, 0.0) * std::max(own, 0.0) + 1e-12);
        if (step == steps[number] || cross <= 0 || !moving) {
            break;
        }
        double right[4], change[4] = {}, largest = 0;
        for (int j = 0; j < 4; ++j) {
            right[j] = (sums[6 + j] - q * sums[10 + j]) * (own / cross) - (sums[14 + j] - t * sums[10 + j]);
        }
        for (int i = 0; i < 4; ++i) {
            for (int j = 0; j < 4; ++j) {
                change[i] += level.inverse[i][j] * right[j];
            }
            change[i] = std::clamp(change[i], -radius / 4, radius / 4);
            largest = std::max(largest, std::fabs(change[i]));
        }
        pose.tx /= factor, pose.ty /= factor;
        compose(change, radius, pose);
        pose.tx *= factor, pose.ty *= factor;
        moving = largest >= still;
    }
    return quality;
}

}  // namespace regad
