#include "scorer.hpp"

#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace regad {
namespace {

// A cell is one position of f3, the 2x2 of f2 and the 4x4 of f1 that it covers.
constexpr std::size_t cells_per_task = 7;
constexpr std::size_t task_count = positions3 / cells_per_task;
static_assert(positions3 % cells_per_task == 0);

std::size_t position2(std::size_t cell, std::size_t child) {
    const std::size_t y = cell / grid3 * 2 + child / 2, x = cell % grid3 * 2 + child % 2;
    return y * grid2 + x;
}

std::size_t position1(std::size_t middle, std::size_t child) {
    const std::size_t y = middle / grid2 * 2 + child / 2, x = middle % grid2 * 2 + child % 2;
    return y * grid1 + x;
}

float root(double squared) { return static_cast<float>(std::sqrt(std::max(squared, 0.0))); }

// What every encoding does alike for one image and one thread.
struct Lane {
    float *v[ScorerWorkspace::vector_count];
    double n3 = 0, n2 = 0;
    float *distances = nullptr;
    Features features{};
};

class CellScorer {
public:
    CellScorer(const Statistics &statistics, std::size_t batch)
        : k_(kernels()), s_(statistics), rank_(statistics.rank), batch_(batch), mean1_(s_.at("mean1")),
          mean2_(s_.at("mean2")), mean3_(s_.at("mean3")) {}

protected:
    float center1(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f1 + p * channels1, mean1_ + p * channels1, channels1, d);
    }
    float center2(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f2 + p * channels2, mean2_ + p * channels2, channels2, d);
    }
    float center3(const Lane &lane, std::size_t p, float *d) const {
        return k_.subtract(lane.features.f3 + p * channels3, mean3_ + p * channels3, channels3, d);
    }

    const Kernels &k_;
    const Statistics &s_;
    std::size_t rank_;
    std::size_t batch_;
    const float *mean1_, *mean2_, *mean3_;
};

// y = x1 d1 + up(x2 d2) + up(x3 d3); M^2 = (|d1|^2 + up|d2|^2 + up|d3|^2 - |L^-1 y|^2) / eps
class Gram : CellScorer {
public:
    Gram(const Statistics &statistics, std::size_t batch)
        : CellScorer(statistics, batch), x1_(s_.at("x1")), x2_(s_.at("x2")), x3_(s_.at("x3")), l_(s_.at("l_packed")) {}

    void cell(std::size_t c, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            lane.n3 = center3(lane, c, lane.v[0]);
            k_.multiply(x3_ + c * rank_ * channels3, rank_, channels3, lane.v[0], false, lane.v[1]);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            lane.n2 = lane.n3 + center2(lane, m, lane.v[0]);
            std::copy_n(lane.v[1], rank_, lane.v[2]);
            k_.multiply(x2_ + m * rank_ * channels2, rank_, channels2, lane.v[0], true, lane.v[2]);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            for (std::size_t b = 0; b < batch_; ++b) {
                Lane &lane = lanes[b];
                const double length = lane.n2 + center1(lane, p, lane.v[0]);
                std::copy_n(lane.v[2], rank_, lane.v[3]);
                k_.multiply(x1_ + p * rank_ * channels1, rank_, channels1, lane.v[0], true, lane.v[3]);
                const double explained = k_.triangle_norm2(l_ + p * packed_length(rank_), rank_, lane.v[3], nullptr);
                lane.distances[p] = root((length - explained) / epsilon);
            }
        }
    }

    const float *x1_, *x2_, *x3_, *l_;
};

// y = x2 d2 + up(x3 d3); z = L^-1 y; a = L^-T z; M^2 = up((|d2|^2 + up|d3|^2 - |z|^2) / eps) + |w1 (d1 - x1^T up(a))|^2
class Hybrid : CellScorer {
public:
    Hybrid(const Statistics &statistics, std::size_t batch)
        : CellScorer(statistics, batch), x1_(s_.at("x1")), x2_(s_.at("x2")), x3_(s_.at("x3")), l_(s_.at("l_packed")),
          w1_(s_.at("w1_packed")) {}

    void cell(std::size_t c, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            lane.n3 = center3(lane, c, lane.v[0]);
            k_.multiply(x3_ + c * rank_ * channels3, rank_, channels3, lane.v[0], false, lane.v[1]);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lane *lanes) const {
        const float *l = l_ + m * packed_length(rank_);
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            const double length = lane.n3 + center2(lane, m, lane.v[0]);
            std::copy_n(lane.v[1], rank_, lane.v[2]);
            k_.multiply(x2_ + m * rank_ * channels2, rank_, channels2, lane.v[0], true, lane.v[2]);
            k_.triangle(l, rank_, lane.v[2], false, lane.v[3]);
            double explained = 0;
            for (std::size_t i = 0; i < rank_; ++i) {
                explained += static_cast<double>(lane.v[3][i]) * static_cast<double>(lane.v[3][i]);
            }
            lane.n2 = (length - explained) / epsilon;
            k_.triangle_transposed(l, rank_, lane.v[3], lane.v[4]);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            for (std::size_t b = 0; b < batch_; ++b) {
                Lane &lane = lanes[b];
                center1(lane, p, lane.v[0]);
                k_.subtract_transposed(x1_ + p * rank_ * channels1, rank_, channels1, lane.v[4], lane.v[0]);
                const float *w1 = w1_ + p * packed_length(channels1);
                lane.distances[p] = root(lane.n2 + k_.triangle_norm2(w1, channels1, lane.v[0], nullptr));
            }
        }
    }

    const float *x1_, *x2_, *x3_, *l_, *w1_;
};

// z3 = w3 d3; z2 = w2_cross d3 + w2 d2; z1 = w1_cross [d3; d2] + w1 d1; M^2 = up|z3|^2 + up|z2|^2 + |z1|^2
class Cholesky : CellScorer {
public:
    Cholesky(const Statistics &statistics, std::size_t batch)
        : CellScorer(statistics, batch), w3_(s_.at("w3_packed")), w2_(s_.at("w2_packed")), w1_(s_.at("w1_packed")),
          cross2_(s_.at("w2_cross")), cross1_(s_.at("w1_cross")) {}

    void cell(std::size_t c, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            center3(lane, c, lane.v[0]);  // v[0] becomes [d3; d2]
            lane.n3 = k_.triangle_norm2(w3_ + c * packed_length(channels3), channels3, lane.v[0], nullptr);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lane *lanes) const {
        for (std::size_t b = 0; b < batch_; ++b) {
            Lane &lane = lanes[b];
            center2(lane, m, lane.v[0] + channels3);
            k_.multiply(cross2_ + m * channels2 * channels3, channels2, channels3, lane.v[0], false, lane.v[1]);
            const float *w2 = w2_ + m * packed_length(channels2);
            lane.n2 = lane.n3 + k_.triangle_norm2(w2, channels2, lane.v[0] + channels3, lane.v[1]);
        }
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            constexpr std::size_t context = channels3 + channels2;
            for (std::size_t b = 0; b < batch_; ++b) {
                Lane &lane = lanes[b];
                center1(lane, p, lane.v[2]);
                k_.multiply(cross1_ + p * channels1 * context, channels1, context, lane.v[0], false, lane.v[1]);
                const float *w1 = w1_ + p * packed_length(channels1);
                lane.distances[p] = root(lane.n2 + k_.triangle_norm2(w1, channels1, lane.v[2], lane.v[1]));
            }
        }
    }

    const float *w3_, *w2_, *w1_, *cross2_, *cross1_;
};

constexpr std::size_t most_batch = 64;

template <typename Form>
void score_cells(const Form &form, const Features &features, std::size_t batch, ScorerWorkspace &workspace, Pool &pool,
                 float *distances) {
    pool.run(task_count, [&](std::size_t task, std::size_t slot) {
        Lane lanes[most_batch];
        for (std::size_t b = 0; b < batch; ++b) {
            float *memory = workspace.vectors(slot, b);
            for (float *&vector : lanes[b].v) {
                vector = memory;
                memory += workspace.vector_length();
            }
            lanes[b].distances = distances + b * positions1;
            lanes[b].features = {features.f1 + b * positions1 * channels1, features.f2 + b * positions2 * channels2,
                                 features.f3 + b * positions3 * channels3};
        }
        for (std::size_t c = task * cells_per_task; c < (task + 1) * cells_per_task; ++c) {
            form.cell(c, lanes);
        }
    });
}

}  // namespace

void ScorerWorkspace::reserve(std::size_t rank, std::size_t batch, std::size_t slots) {
    // Room for the longest vector (d3 and d2 of the cholesky form) and for a load that reaches past the end.
    const std::size_t vector = (std::max(rank, channels3 + channels2) + 8 + 15) / 16 * 16;
    if (vector <= vector_ && batch <= batch_ && slots <= slots_) {
        return;
    }
    vector_ = std::max(vector, vector_);
    batch_ = std::max(batch, batch_);
    slots_ = std::max(slots, slots_);
    memory_ = Buffer<float>(vector_ * vector_count * batch_ * slots_);
    std::fill(memory_.begin(), memory_.end(), 0.0F);
}

float *ScorerWorkspace::vectors(std::size_t slot, std::size_t image) noexcept {
    return memory_.data() + (slot * batch_ + image) * vector_ * vector_count;
}

void mahalanobis(const Statistics &statistics, const Features &features, std::size_t batch, ScorerWorkspace &workspace,
                 Pool &pool, float *distances) {
    for (std::size_t done = 0; done < batch; done += most_batch) {
        const std::size_t now = std::min(most_batch, batch - done);
        const Features part = {features.f1 + done * positions1 * channels1, features.f2 + done * positions2 * channels2,
                               features.f3 + done * positions3 * channels3};
        float *out = distances + done * positions1;
        workspace.reserve(statistics.rank, now, pool.threads());
        switch (statistics.encoding) {
            case Encoding::gram: score_cells(Gram(statistics, now), part, now, workspace, pool, out); break;
            case Encoding::hybrid: score_cells(Hybrid(statistics, now), part, now, workspace, pool, out); break;
            case Encoding::cholesky: score_cells(Cholesky(statistics, now), part, now, workspace, pool, out); break;
        }
    }
}

}  // namespace regad
