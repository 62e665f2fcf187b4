#include "embedded.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "core/fill.hpp"
#include "core/judge.hpp"
#include "core/kernels.hpp"
#include "core/pool.hpp"
#include "core/presence.hpp"
#include "core/registration.hpp"
#include "core/resample.hpp"
#include "core/scorer.hpp"

namespace regad {
namespace {

constexpr std::int32_t version = 10;

struct Workspace {
    ScorerWorkspace scorer;
    Buffer<float> judging{judging_workspace};
};

// Workspaces that wait to be used again.
template <typename T>
class Idle {
public:
    std::unique_ptr<T> take() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!idle_.empty()) {
                std::unique_ptr<T> one = std::move(idle_.back());
                idle_.pop_back();
                return one;
            }
        }
        return std::make_unique<T>();
    }

    void give(std::unique_ptr<T> one) {
        const std::lock_guard<std::mutex> lock(mutex_);
        idle_.push_back(std::move(one));
    }

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<T>> idle_;
};

// Statistics in memory of the caller, and workspaces that are used again: a steady state allocates nothing.
class Embedded {
public:
    Embedded(Pool &pool, StatisticsGroups groups, Scoring scoring)
        : pool_(pool), groups_(std::move(groups)), scoring_(std::move(scoring)) {}

    void score(const Features &features, std::size_t batch, float *distances, float *maps, float *scores) {
        std::unique_ptr<Workspace> workspace = idle_.take();
        mahalanobis(groups_, features, batch, workspace->scorer, pool_, distances);
        if (maps != nullptr) {
            judge(scoring_, distances, batch, workspace->judging.data(), maps, scores);
        }
        idle_.give(std::move(workspace));
    }

private:
    Pool &pool_;
    const StatisticsGroups groups_;
    const Scoring scoring_;
    Idle<Workspace> idle_;
};

// A part's template, and workspaces for frames.
struct EmbeddedTemplate {
    EmbeddedTemplate(const TemplateData &data, Pool &pool) : part(data, pool) {}

    const Template part;
    Idle<Registration> idle;
};

// Runs `body`; no exception leaves.
template <typename Body>
std::int32_t status(const Body &body) noexcept {
    try {
        body();
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    } catch (...) {
        return 2;
    }
}

// The tensors as statistics that borrow them; throws std::runtime_error unless they are what the encoding has.
Statistics borrow(const char *encoding, std::size_t rank, std::size_t finest, std::size_t count,
                  const char *const *names, const void *const *tensors, const std::size_t *lengths,
                  const std::int32_t *half) {
    Statistics statistics;
    statistics.encoding = encoding_from(encoding);
    statistics.rank = rank;
    statistics.finest = finest;
    for (const TensorShape &wanted : tensor_shapes(statistics.encoding, rank, finest)) {
        std::size_t length = 1;
        for (const std::uint64_t size : wanted.shape) {
            length *= static_cast<std::size_t>(size);
        }
        std::size_t i = 0;
        while (i < count && wanted.name != names[i]) {
            ++i;
        }
        if (i == count || lengths[i] != length) {
            throw std::runtime_error(wanted.name);
        }
        // Borrowed memory is never written.
        void *data = const_cast<void *>(tensors[i]);
        if (half[i] != 0) {
            statistics.halves.emplace(wanted.name,
                                      Buffer<std::uint16_t>::borrow(static_cast<std::uint16_t *>(data), length));
        } else {
            statistics.tensors.emplace(wanted.name, Buffer<float>::borrow(static_cast<float *>(data), length));
        }
    }
    return statistics;
}

Scoring scoring(Groups groups, std::size_t cells, const float *scale, float map_gain) {
    if (groups.empty() || groups.size() > 2 || (groups.size() == 2 && groups != Groups{2, 3})) {
        throw std::runtime_error("scoring");
    }
    const std::size_t count = positions_of(groups.back());
    if (cells > count) {
        throw std::runtime_error("scoring");
    }
    Buffer<float> copy(count);
    std::copy_n(scale, count, copy.begin());
    return {std::move(groups), cells, std::move(copy), map_gain};
}

}  // namespace
}  // namespace regad

std::int32_t regad_embedded_version() { return regad::version; }

const char *regad_embedded_kernels() { return regad::kernels().name; }

std::int32_t regad_embedded_pool(std::size_t threads, void **made) {
    return regad::status([&] { *made = new regad::Pool(threads); });
}

std::int32_t regad_embedded_scorer(void *pool, std::size_t groups, const char *const *encodings,
                                   const std::size_t *finest, std::size_t rank, std::size_t count,
                                   const char *const *names, const void *const *tensors, const std::size_t *lengths,
                                   const std::int32_t *half, std::size_t cells, const float *scale, float map_gain,
                                   void **made) {
    return regad::status([&] {
        regad::StatisticsGroups statistics;
        for (std::size_t i = 0; i < groups; ++i) {
            statistics.push_back(regad::borrow(encodings[i], rank, finest[i], count, names, tensors, lengths, half));
        }
        *made = new regad::Embedded(*static_cast<regad::Pool *>(pool), std::move(statistics),
                                    regad::scoring({finest, finest + groups}, cells, scale, map_gain));
    });
}

void regad_embedded_scorer_free(void *scorer) { delete static_cast<regad::Embedded *>(scorer); }

std::int32_t regad_embedded_score(void *scorer, const float *f1, const float *f2, const float *f3, std::size_t batch,
                                  float *distances, float *maps, float *scores) {
    return regad::status([&] {
        static_cast<regad::Embedded *>(scorer)->score({f1, f2, f3}, batch, distances, maps, scores);
    });
}

std::int32_t regad_embedded_resample(void *pool, const unsigned char *pixels, std::int32_t width, std::int32_t height,
                                     std::int64_t stride, const std::int32_t *spot, std::int32_t filter,
                                     unsigned char *out) {
    return regad::status([&] {
        thread_local regad::Resampler resampler;
        const regad::Placement placement{spot[0], spot[1], spot[2], spot[3], spot[4], spot[5], spot[6], spot[7]};
        resampler.run({pixels, width, height, stride, {3, {0, 1, 2}}}, placement, static_cast<regad::Resample>(filter),
                      *static_cast<regad::Pool *>(pool), out);
    });
}

void regad_embedded_presence(const unsigned char *image, double *measures) {
    const regad::Measures measured = regad::measure(image);
    std::copy(measured.begin(), measured.end(), measures);
}

std::int32_t regad_embedded_template(void *pool, const float *grey, const float *weights, const double *geometry,
                                     void **made) {
    return regad::status([&] {
        const double *g = geometry;
        const regad::TemplateData data{grey, {weights[0], weights[1], weights[2]}, {g[0], g[1], g[2], g[3]},
                                       g[4], g[5], g[6], g[7]};
        *made = new regad::EmbeddedTemplate(data, *static_cast<regad::Pool *>(pool));
    });
}

void regad_embedded_template_free(void *part) { delete static_cast<regad::EmbeddedTemplate *>(part); }

std::int32_t regad_embedded_register(void *pool, void *part, const unsigned char *pixels, std::int32_t width,
                                     std::int32_t height, std::int64_t stride, const std::int32_t *box,
                                     const std::int32_t *spot, std::int32_t stretched, double *result,
                                     unsigned char *out, float *seen) {
    return regad::status([&] {
        auto &known = *static_cast<regad::EmbeddedTemplate *>(part);
        regad::Pool &threads = *static_cast<regad::Pool *>(pool);
        std::unique_ptr<regad::Registration> workspace = known.idle.take();
        const regad::Found found =
            workspace->find(known.part, {pixels, width, height, stride, {3, {0, 1, 2}}},
                            {box[0], box[1], box[2], box[3]}, stretched != 0, threads);
        workspace->warp(known.part, {spot[0], spot[1], spot[2], spot[3]}, found.pose, threads, out, seen);
        const double values[6] = {found.pose.a, found.pose.b, found.pose.tx, found.pose.ty, found.quality, found.rival};
        std::memcpy(result, values, sizeof values);
        known.idle.give(std::move(workspace));
    });
}

std::int32_t regad_embedded_fill(const unsigned char *reference, const float *seen, unsigned char *image) {
    return regad::status([&] {
        thread_local regad::Filling filling;
        filling.run(reference, seen, image);
    });
}
