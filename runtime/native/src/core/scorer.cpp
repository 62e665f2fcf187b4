#include "core/scorer.hpp"

#include <algorithm>
#include <cmath>

#include "core/kernels.hpp"

namespace regad {
namespace {

// A tile is a row of `tile3` positions of f3 and the rows of f2 (two) and f1 (four) that it covers. Rows are walked from
// left to right, because the statistics of neighbours lie side by side in memory.
constexpr std::size_t tile3 = 7, tile2 = 2 * tile3, tile1 = 4 * tile3;
constexpr std::size_t tiles_across = grid3 / tile3;
constexpr std::size_t task_count = grid3 * tiles_across;
static_assert(grid3 % tile3 == 0);

float root(double squared) { return static_cast<float>(std::sqrt(std::max(squared, 0.0))); }

// What one thread keeps of one image: a vector and a number for every position of f3 and f2 in its tile. `distances` are
// those of the finest level that is scored.
struct Lane {
    float *d, *y;                  // scratch
    float *v3[tile3], *v2[2 * tile2];
    double n3[tile3], n2[2 * tile2];
    float *distances;
    Features features;
};
static_assert(ScorerWorkspace::vector_count == 2 + tile3 + 2 * tile2);

// The kernels and tensors of one storage type.
template <typename T>
class Form {
public:
    Form(const Statistics &statistics, std::size_t batch)
        : k_(kernels()), p_(products<T>(k_)), s_(statistics), rank_(statistics.rank),
          finest_(statistics.finest), coarsest_(coarsest_of(finest_)), length_(staircase_length(rank_, channels_of(coarsest_))),
          batch_(batch), mean1_(given<float>(1, "mean1")), mean2_(given<float>(2, "mean2")),
          mean3_(given<float>(3, "mean3")) {}

    bool scores(std::size_t level) const { return level >= finest_ && level <= coarsest_; }
    std::size_t finest() const { return finest_; }

protected:
    // Null where the level is not scored.
    template <typename V>
    const V *given(std::size_t level, const std::string &name) const {
        return scores(level) ? s_.at<V>(name) : nullptr;
    }
    const T *tensor(std::size_t level, const std::string &name) const { return given<T>(level, name); }
    float center1(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f1 + p * channels1, mean1_ + p * channels1, channels1, d);
    }
    float center2(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f2 + p * channels2, mean2_ + p * channels2, channels2, d);
    }
    float center3(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f3 + p * channels3, mean3_ + p * channels3, channels3, d);
    }
    // out = x d at a position of the coarsest level, whose views are stored as stairs.
    void climb(const T *x, std::size_t position, const float *d, float *out) const {
        const T *group = x + position * length_;
        const std::size_t channels = channels_of(coarsest_);
        for (std::size_t row = 0; row < rank_; row += stair) {
            const std::size_t rows = std::min(stair, rank_ - row), first = stair_start(row, channels);
            p_.multiply(group, rows, channels - first, d + first, false, out + row);
            group += rows * (channels - first);
        }
    }
    // y3 = x3 d3 and |d3|^2, as the gram and hybrid forms both need them.
    void project3(const T *x3, std::size_t c, std::size_t at3, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            lane.n3[at3] = static_cast<double>(center3(lane, c, lane.d));
            climb(x3, c, lane.d, lane.v3[at3]);
        }
    }
    // out = y3 + x2 d2; returns |d3|^2 + |d2|^2.
    double project2(const T *x2, std::size_t m, std::size_t at3, Lane &lane, float *out) const {
        const double length = lane.n3[at3] + static_cast<double>(center2(lane, m, lane.d));
        std::copy_n(lane.v3[at3], rank_, out);
        p_.multiply(x2 + m * rank_ * channels2, rank_, channels2, lane.d, true, out);
        return length;
    }

    const Kernels &k_;
    const Products<T> &p_;
    const Statistics &s_;
    std::size_t rank_;
    std::size_t finest_, coarsest_;
    std::size_t length_;  // of a position's views of the coarsest level
    std::size_t batch_;
    const float *mean1_, *mean2_, *mean3_;
};

// y = x1 d1 + up(x2 d2) + up(x3 d3); M^2 = (|d1|^2 + up|d2|^2 + up|d3|^2 - |L^-1 y|^2) / eps, of RegAD's group or of one
// level alone.
template <typename T>
class Gram : public Form<T> {
public:
    Gram(const Statistics &statistics, std::size_t batch)
        : Form<T>(statistics, batch), x1_(this->tensor(1, "x1")),
          x2_(this->tensor(2, statistics.finest == 2 ? "x2_packed" : "x2")), x3_(this->tensor(3, "x3_packed")),
          l_(statistics.at<T>(triangle_name(statistics.finest))) {}

    void coarse(std::size_t c, std::size_t at3, Lane *lanes) const {
        this->project3(x3_, c, at3, lanes);
        for (std::size_t b = 0; this->finest_ == 3 && b < this->batch_; ++b) {
            finish(c, lanes[b].n3[at3], lanes[b].v3[at3], lanes[b]);
        }
    }

    void middle(std::size_t m, std::size_t at2, std::size_t at3, Lane *lanes) const {
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            if (this->finest_ == 2) {
                const auto length = static_cast<double>(this->center2(lane, m, lane.d));
                this->climb(x2_, m, lane.d, lane.y);
                finish(m, length, lane.y, lane);
            } else {
                lane.n2[at2] = this->project2(x2_, m, at3, lane, lane.v2[at2]);
            }
        }
    }

    void fine(std::size_t p, std::size_t at2, Lane *lanes) const {
        const std::size_t rank = this->rank_;
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            const double length = lane.n2[at2] + static_cast<double>(this->center1(lane, p, lane.d));
            std::copy_n(lane.v2[at2], rank, lane.y);
            this->p_.multiply(x1_ + p * rank * channels1, rank, channels1, lane.d, true, lane.y);
            finish(p, length, lane.y, lane);
        }
    }

private:
    void finish(std::size_t p, double length, const float *y, Lane &lane) const {
        const std::size_t rank = this->rank_;
        const double explained = this->p_.triangle_norm2(l_ + p * packed_length(rank), rank, y, nullptr);
        lane.distances[p] = root((length - explained) / epsilon);
    }

    const T *x1_, *x2_, *x3_, *l_;
};

// y = x2 d2 + up(x3 d3); z = L^-1 y; a = L^-T z; M^2 = up((|d2|^2 + up|d3|^2 - |z|^2) / eps) + |w1 (d1 - x1^T up(a))|^2
template <typename T>
class Hybrid : public Form<T> {
public:
    Hybrid(const Statistics &statistics, std::size_t batch)
        : Form<T>(statistics, batch), x1_(this->tensor(1, "x1")), x2_(this->tensor(2, "x2")),
          x3_(this->tensor(3, "x3_packed")), l_(this->tensor(2, "l_packed")), w1_(this->tensor(1, "w1_packed")) {}

    void coarse(std::size_t c, std::size_t at3, Lane *lanes) const { this->project3(x3_, c, at3, lanes); }

    void middle(std::size_t m, std::size_t at2, std::size_t at3, Lane *lanes) const {
        const std::size_t rank = this->rank_;
        const T *l = l_ + m * packed_length(rank);
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            const double length = this->project2(x2_, m, at3, lane, lane.y);
            const double explained = this->p_.triangle(l, rank, lane.y, lane.d);
            lane.n2[at2] = (length - explained) / epsilon;
            this->p_.triangle_transposed(l, rank, lane.d, lane.v2[at2]);
        }
    }

    void fine(std::size_t p, std::size_t at2, Lane *lanes) const {
        const std::size_t rank = this->rank_;
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            this->center1(lane, p, lane.d);
            this->p_.subtract_transposed(x1_ + p * rank * channels1, rank, channels1, lane.v2[at2], lane.d);
            const T *w1 = w1_ + p * packed_length(channels1);
            lane.distances[p] = root(lane.n2[at2] + this->p_.triangle_norm2(w1, channels1, lane.d, nullptr));
        }
    }

private:
    const T *x1_, *x2_, *x3_, *l_, *w1_;
};

// z3 = w3 d3; z2 = w2_cross d3 + w2 d2; z1 = w1_cross [d3; d2] + w1 d1; M^2 = up|z3|^2 + up|z2|^2 + |z1|^2, of RegAD's
// group or of one level alone.
template <typename T>
class Cholesky : public Form<T> {
public:
    Cholesky(const Statistics &statistics, std::size_t batch)
        : Form<T>(statistics, batch), w3_(this->tensor(3, "w3_packed")), w2_(this->tensor(2, "w2_packed")),
          w1_(this->tensor(1, "w1_packed")), cross2_(statistics.finest == 1 ? this->tensor(2, "w2_cross") : nullptr),
          cross1_(this->tensor(1, "w1_cross")) {}

    void coarse(std::size_t c, std::size_t at3, Lane *lanes) const {
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            this->center3(lane, c, lane.v3[at3]);
            const T *w3 = w3_ + c * packed_length(channels3);
            lane.n3[at3] = this->p_.triangle_norm2(w3, channels3, lane.v3[at3], nullptr);
            if (this->finest_ == 3) {
                lane.distances[c] = root(lane.n3[at3]);
            }
        }
    }

    void middle(std::size_t m, std::size_t at2, std::size_t at3, Lane *lanes) const {
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            const T *w2 = w2_ + m * packed_length(channels2);
            if (this->finest_ == 2) {
                this->center2(lane, m, lane.d);
                lane.distances[m] = root(this->p_.triangle_norm2(w2, channels2, lane.d, nullptr));
                continue;
            }
            float *context = lane.v2[at2];  // [d3; d2]
            std::copy_n(lane.v3[at3], channels3, context);
            this->center2(lane, m, context + channels3);
            this->p_.multiply(cross2_ + m * channels2 * channels3, channels2, channels3, context, false, lane.y);
            lane.n2[at2] = lane.n3[at3] + this->p_.triangle_norm2(w2, channels2, context + channels3, lane.y);
        }
    }

    void fine(std::size_t p, std::size_t at2, Lane *lanes) const {
        constexpr std::size_t context = channels3 + channels2;
        for (std::size_t b = 0; b < this->batch_; ++b) {
            Lane &lane = lanes[b];
            this->center1(lane, p, lane.d);
            this->p_.multiply(cross1_ + p * channels1 * context, channels1, context, lane.v2[at2], false, lane.y);
            const T *w1 = w1_ + p * packed_length(channels1);
            lane.distances[p] = root(lane.n2[at2] + this->p_.triangle_norm2(w1, channels1, lane.d, lane.y));
        }
    }

private:
    const T *w3_, *w2_, *w1_, *cross2_, *cross1_;
};

constexpr std::size_t most_batch = 64;

template <typename F>
void score_tile(const F &form, std::size_t task, Lane *lanes) {
    const std::size_t row = task / tiles_across, left = task % tiles_across * tile3;
    for (std::size_t x = 0; form.scores(3) && x < tile3; ++x) {
        form.coarse(row * grid3 + left + x, x, lanes);
    }
    for (std::size_t y = 0; form.scores(2) && y < 2; ++y) {
        for (std::size_t x = 0; x < tile2; ++x) {
            form.middle((2 * row + y) * grid2 + 2 * left + x, y * tile2 + x, x / 2, lanes);
        }
    }
    for (std::size_t y = 0; form.scores(1) && y < 4; ++y) {
        for (std::size_t x = 0; x < tile1; ++x) {
            form.fine((4 * row + y) * grid1 + 4 * left + x, y / 2 * tile2 + x / 2, lanes);
        }
    }
}

// The features from an image of the batch on.
Features image_of(const Features &features, std::size_t image) {
    const auto from = [image](const float *level, std::size_t length) {
        return level == nullptr ? nullptr : level + image * length;
    };
    return {from(features.f1, positions1 * channels1), from(features.f2, positions2 * channels2),
            from(features.f3, positions3 * channels3)};
}

template <typename F>
void score_all(const F &form, const Features &features, std::size_t batch, ScorerWorkspace &workspace, Pool &pool,
               float *distances) {
    pool.run(task_count, [&](std::size_t task, std::size_t slot) {
        Lane lanes[most_batch];
        for (std::size_t b = 0; b < batch; ++b) {
            Lane &lane = lanes[b];
            float *memory = workspace.vectors(slot, b);
            const auto next = [&memory, &workspace] {
                float *vector = memory;
                memory += workspace.vector_length();
                return vector;
            };
            lane.d = next();
            lane.y = next();
            std::generate(std::begin(lane.v3), std::end(lane.v3), next);
            std::generate(std::begin(lane.v2), std::end(lane.v2), next);
            lane.distances = distances + b * positions_of(form.finest());
            lane.features = image_of(features, b);
        }
        score_tile(form, task, lanes);
    });
}

template <typename T>
void score_stored(const Statistics &statistics, const Features &features, std::size_t batch,
                  ScorerWorkspace &workspace, Pool &pool, float *distances) {
    switch (statistics.encoding) {
        case Encoding::gram:
            score_all(Gram<T>(statistics, batch), features, batch, workspace, pool, distances);
            break;
        case Encoding::hybrid:
            score_all(Hybrid<T>(statistics, batch), features, batch, workspace, pool, distances);
            break;
        case Encoding::cholesky:
            score_all(Cholesky<T>(statistics, batch), features, batch, workspace, pool, distances);
            break;
    }
}

}  // namespace

void ScorerWorkspace::reserve(std::size_t rank, std::size_t batch, std::size_t slots) {
    // Room for the longest vector (d3 and d2 of the cholesky form) and for a load that reaches past the end.
    const std::size_t vector = (std::max(rank, channels3 + channels2) + 16 + 15) / 16 * 16;
    if (vector <= vector_ && batch <= batch_ && slots <= slots_) {
        return;
    }
    const std::size_t longest = std::max(vector, vector_), most = std::max(batch, batch_), wide = std::max(slots, slots_);
    memory_ = Buffer<float>(longest * vector_count * most * wide);  // first: the sizes are those of memory that is there
    vector_ = longest, batch_ = most, slots_ = wide;
    std::fill(memory_.begin(), memory_.end(), 0.0F);
}

float *ScorerWorkspace::vectors(std::size_t slot, std::size_t image) noexcept {
    return memory_.data() + (slot * batch_ + image) * vector_ * vector_count;
}

void mahalanobis(const Statistics &statistics, const Features &features, std::size_t batch, ScorerWorkspace &workspace,
                 Pool &pool, float *distances) {
    for (std::size_t done = 0; done < batch; done += most_batch) {
        const std::size_t now = std::min(most_batch, batch - done);
        workspace.reserve(statistics.rank, now, pool.threads());
        const auto score = statistics.halves.empty() ? score_stored<float> : score_stored<std::uint16_t>;
        score(statistics, image_of(features, done), now, workspace, pool,
              distances + done * positions_of(statistics.finest));
    }
}

void mahalanobis(const StatisticsGroups &groups, const Features &features, std::size_t batch,
                 ScorerWorkspace &workspace, Pool &pool, float *distances) {
    for (const Statistics &group : groups) {
        mahalanobis(group, features, batch, workspace, pool, distances);
        distances += batch * positions_of(group.finest);
    }
}

}  // namespace regad
