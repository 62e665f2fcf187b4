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

constexpr std::size_t most_batch = 64;

// What every encoding keeps for one image and one thread.
struct Lane {
    float *v[ScorerWorkspace::vector_count];
    double n3 = 0, n2 = 0, n1 = 0, explained = 0;
    float *distances = nullptr;
    Features features{};
};

// The images of a batch on one thread.
struct Lanes {
    Lane lane[most_batch];
    std::size_t count = 0;
    float *block = nullptr;  // room for values widened to float32

    Lane *begin() { return lane; }
    Lane *end() { return lane + count; }
};

// What every encoding does alike. A matrix is read once for all images of a batch: whole where it is stored as
// float32, a block that fits the cache at a time where it is widened from float16.
class CellScorer {
public:
    explicit CellScorer(const Statistics &statistics)
        : k_(kernels()), s_(statistics), rank_(statistics.rank), mean1_(s_.at("mean1").floats),
          mean2_(s_.at("mean2").floats), mean3_(s_.at("mean3").floats) {}

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

    // Calls body(values, first, last) for the rows of the p-th matrix [rows, columns].
    template <typename Body>
    void matrix(const Values &all, std::size_t p, std::size_t rows, std::size_t columns, float *block,
                const Body &body) const {
        const std::size_t offset = p * rows * columns;
        if (all.halves == nullptr) {
            body(all.floats + offset, 0, rows);
            return;
        }
        const std::size_t step = ScorerWorkspace::block_length / columns;
        for (std::size_t first = 0; first < rows; first += step) {
            const std::size_t last = std::min(first + step, rows);
            k_.widen(all.halves + offset + first * columns, (last - first) * columns, block);
            body(block, first, last);
        }
    }

    // The same for the p-th packed triangle of `size` rows.
    template <typename Body>
    void triangle(const Values &all, std::size_t p, std::size_t size, float *block, const Body &body) const {
        const std::size_t offset = p * packed_length(size);
        if (all.halves == nullptr) {
            body(all.floats + offset, 0, size);
            return;
        }
        for (std::size_t first = 0; first < size;) {
            std::size_t last = first, length = 0;
            while (last < size && length + last + 1 <= ScorerWorkspace::block_length) {
                length += ++last;
            }
            k_.widen(all.halves + offset + packed_length(first), length, block);
            body(block, first, last);
            first = last;
        }
    }

    // v[to] (+)= M v[from].
    void multiply(const Values &all, std::size_t p, std::size_t rows, std::size_t columns, Lanes &lanes, int from,
                  bool add, int to) const {
        matrix(all, p, rows, columns, lanes.block, [&](const float *m, std::size_t first, std::size_t last) {
            for (Lane &lane : lanes) {
                k_.multiply(m, last - first, columns, lane.v[from], add, lane.v[to] + first);
            }
        });
    }

    // n (+)= |T (v[from] + skip) + v[plus]|^2; `plus` below 0: nothing.
    void add_norm2(const Values &all, std::size_t p, std::size_t size, Lanes &lanes, int from, std::size_t skip, int plus,
                   double Lane::*n) const {
        triangle(all, p, size, lanes.block, [&](const float *m, std::size_t first, std::size_t last) {
            for (Lane &lane : lanes) {
                const float *c = plus < 0 ? nullptr : lane.v[plus];
                lane.*n = k_.triangle_norm2(m, first, last, lane.v[from] + skip, c, lane.*n);
            }
        });
    }

    const Kernels &k_;
    const Statistics &s_;
    std::size_t rank_;
    const float *mean1_, *mean2_, *mean3_;
};

// y = x1 d1 + up(x2 d2) + up(x3 d3); M^2 = (|d1|^2 + up|d2|^2 + up|d3|^2 - |L^-1 y|^2) / eps
class Gram : CellScorer {
public:
    explicit Gram(const Statistics &statistics)
        : CellScorer(statistics), x1_(s_.at("x1")), x2_(s_.at("x2")), x3_(s_.at("x3")), l_(s_.at("l_packed")) {}

    void cell(std::size_t c, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            lane.n3 = center3(lane, c, lane.v[0]);
        }
        multiply(x3_, c, rank_, channels3, lanes, 0, false, 1);
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            lane.n2 = lane.n3 + center2(lane, m, lane.v[0]);
            std::copy_n(lane.v[1], rank_, lane.v[2]);
        }
        multiply(x2_, m, rank_, channels2, lanes, 0, true, 2);
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            for (Lane &lane : lanes) {
                lane.n1 = lane.n2 + center1(lane, p, lane.v[0]);
                lane.explained = 0;
                std::copy_n(lane.v[2], rank_, lane.v[3]);
            }
            multiply(x1_, p, rank_, channels1, lanes, 0, true, 3);
            add_norm2(l_, p, rank_, lanes, 3, 0, -1, &Lane::explained);
            for (Lane &lane : lanes) {
                lane.distances[p] = root((lane.n1 - lane.explained) / epsilon);
            }
        }
    }

    Values x1_, x2_, x3_, l_;
};

// y = x2 d2 + up(x3 d3); z = L^-1 y; a = L^-T z; M^2 = up((|d2|^2 + up|d3|^2 - |z|^2) / eps) + |w1 (d1 - x1^T up(a))|^2
class Hybrid : CellScorer {
public:
    explicit Hybrid(const Statistics &statistics)
        : CellScorer(statistics), x1_(s_.at("x1")), x2_(s_.at("x2")), x3_(s_.at("x3")), l_(s_.at("l_packed")),
          w1_(s_.at("w1_packed")) {}

    void cell(std::size_t c, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            lane.n3 = center3(lane, c, lane.v[0]);
        }
        multiply(x3_, c, rank_, channels3, lanes, 0, false, 1);
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            lane.n2 = lane.n3 + center2(lane, m, lane.v[0]);
            std::copy_n(lane.v[1], rank_, lane.v[2]);
            std::fill_n(lane.v[4], rank_, 0.0F);
        }
        multiply(x2_, m, rank_, channels2, lanes, 0, true, 2);
        whiten(m, lanes);
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            for (Lane &lane : lanes) {
                center1(lane, p, lane.v[0]);
                lane.n1 = lane.n2;
            }
            matrix(x1_, p, rank_, channels1, lanes.block, [&](const float *x, std::size_t first, std::size_t last) {
                for (Lane &lane : lanes) {
                    k_.subtract_transposed(x, last - first, channels1, lane.v[4] + first, lane.v[0]);
                }
            });
            add_norm2(w1_, p, channels1, lanes, 0, 0, -1, &Lane::n1);
            for (Lane &lane : lanes) {
                lane.distances[p] = root(lane.n1);
            }
        }
    }

    // v[3] = z = L^-1 v[2], v[4] = a = L^-T z; a row of z is ready before the transposed product needs it.
    void whiten(std::size_t m, Lanes &lanes) const {
        triangle(l_, m, rank_, lanes.block, [&](const float *l, std::size_t first, std::size_t last) {
            for (Lane &lane : lanes) {
                k_.triangle(l, first, last, lane.v[2], false, lane.v[3]);
                k_.triangle_transposed(l, first, last, lane.v[3], lane.v[4]);
            }
        });
        for (Lane &lane : lanes) {
            double explained = 0;
            for (std::size_t i = 0; i < rank_; ++i) {
                explained += static_cast<double>(lane.v[3][i]) * static_cast<double>(lane.v[3][i]);
            }
            lane.n2 = (lane.n2 - explained) / epsilon;
        }
    }

    Values x1_, x2_, x3_, l_, w1_;
};

// z3 = w3 d3; z2 = w2_cross d3 + w2 d2; z1 = w1_cross [d3; d2] + w1 d1; M^2 = up|z3|^2 + up|z2|^2 + |z1|^2
class Cholesky : CellScorer {
public:
    explicit Cholesky(const Statistics &statistics)
        : CellScorer(statistics), w3_(s_.at("w3_packed")), w2_(s_.at("w2_packed")), w1_(s_.at("w1_packed")),
          cross2_(s_.at("w2_cross")), cross1_(s_.at("w1_cross")) {}

    void cell(std::size_t c, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            center3(lane, c, lane.v[0]);  // v[0] becomes [d3; d2]
            lane.n3 = 0;
        }
        add_norm2(w3_, c, channels3, lanes, 0, 0, -1, &Lane::n3);
        for (std::size_t child = 0; child < 4; ++child) {
            middle(position2(c, child), lanes);
        }
    }

private:
    void middle(std::size_t m, Lanes &lanes) const {
        for (Lane &lane : lanes) {
            center2(lane, m, lane.v[0] + channels3);
            lane.n2 = lane.n3;
        }
        multiply(cross2_, m, channels2, channels3, lanes, 0, false, 1);
        add_norm2(w2_, m, channels2, lanes, 0, channels3, 1, &Lane::n2);
        for (std::size_t child = 0; child < 4; ++child) {
            const std::size_t p = position1(m, child);
            for (Lane &lane : lanes) {
                center1(lane, p, lane.v[2]);
                lane.n1 = lane.n2;
            }
            multiply(cross1_, p, channels1, channels3 + channels2, lanes, 0, false, 1);
            add_norm2(w1_, p, channels1, lanes, 2, 0, 1, &Lane::n1);
            for (Lane &lane : lanes) {
                lane.distances[p] = root(lane.n1);
            }
        }
    }

    Values w3_, w2_, w1_, cross2_, cross1_;
};

template <typename Form>
void score_cells(const Form &form, const Features &features, std::size_t batch, ScorerWorkspace &workspace, Pool &pool,
                 float *distances) {
    pool.run(task_count, [&](std::size_t task, std::size_t slot) {
        Lanes lanes;
        lanes.count = batch;
        lanes.block = workspace.block(slot);
        for (std::size_t b = 0; b < batch; ++b) {
            Lane &lane = lanes.lane[b];
            float *memory = workspace.vectors(slot, b);
            for (float *&vector : lane.v) {
                vector = memory;
                memory += workspace.vector_length();
            }
            lane.distances = distances + b * positions1;
            lane.features = {features.f1 + b * positions1 * channels1, features.f2 + b * positions2 * channels2,
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
    memory_ = Buffer<float>((vector_ * vector_count * batch_ + block_room) * slots_);
    std::fill(memory_.begin(), memory_.end(), 0.0F);
}

float *ScorerWorkspace::vectors(std::size_t slot, std::size_t image) noexcept {
    return block(slot) + block_room + image * vector_ * vector_count;
}

float *ScorerWorkspace::block(std::size_t slot) noexcept {
    return memory_.data() + slot * (vector_ * vector_count * batch_ + block_room);
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
            case Encoding::gram: score_cells(Gram(statistics), part, now, workspace, pool, out); break;
            case Encoding::hybrid: score_cells(Hybrid(statistics), part, now, workspace, pool, out); break;
            case Encoding::cholesky: score_cells(Cholesky(statistics), part, now, workspace, pool, out); break;
        }
    }
}

}  // namespace regad
