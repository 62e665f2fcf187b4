// The compiled scorer: Mahalanobis distances from the packed statistics, which are read exactly once a batch.
#pragma once

#include <cstddef>
#include <vector>

#include "core/buffer.hpp"
#include "core/pool.hpp"
#include "core/sizes.hpp"
#include "core/statistics.hpp"

namespace regad {

// Scratch memory of one scoring at a time, for any category up to a rank and a batch.
class ScorerWorkspace {
public:
    // Grows if need be: nothing is allocated when rank, batch and slots are within those of earlier calls.
    void reserve(std::size_t rank, std::size_t batch, std::size_t slots);
    // Scratch of one thread for one image: room for `vector` floats, `count` times, each aligned.
    float *vectors(std::size_t slot, std::size_t image) noexcept;
    std::size_t vector_length() const noexcept { return vector_; }

    static constexpr std::size_t vector_count = 37;

private:
    std::size_t vector_ = 0;
    std::size_t batch_ = 0;
    std::size_t slots_ = 0;
    Buffer<float> memory_;
};

// Writes distances, float32 [batch, g, g], g the grid of the group's finest level.
void mahalanobis(const Statistics &statistics, const Features &features, std::size_t batch, ScorerWorkspace &workspace,
                 Pool &pool, float *distances);
// The same of every group: all of a group's after another's.
void mahalanobis(const StatisticsGroups &groups, const Features &features, std::size_t batch,
                 ScorerWorkspace &workspace, Pool &pool, float *distances);

}  // namespace regad
