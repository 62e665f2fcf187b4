// The sessions of one artifact on one device, and the memory that predictions reuse.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/artifact.hpp"
#include "engine/ort.hpp"
#include "core/pool.hpp"
#include "engine/finder.hpp"
#include "engine/preprocess.hpp"
#include "core/judge.hpp"
#include "core/scorer.hpp"
#include "core/statistics.hpp"

namespace regad {

// A scorer graph with a category's statistics bound to it, once, on the device.
class GraphScorer {
public:
    // The graph takes the statistics as `dtype`; halves are widened for one that takes float32.
    GraphScorer(std::shared_ptr<const Session> session, const StatisticsGroups &groups, const Scoring &scoring,
                Dtype dtype, bool keep_on_host);
    // One caller at a time: the binding is shared. `maps` [batch, 224, 224] and `scores` [batch] on the host.
    void run(OrtValue *f1, OrtValue *f2, OrtValue *f3, std::size_t batch, float *maps, float *scores) const;

private:
    void bind(const Port &port, void *data, std::size_t bytes);

    std::shared_ptr<const Session> session_;
    Groups groups_;
    std::vector<Buffer<float>> floats_;
    std::vector<Buffer<std::uint16_t>> halves_;
    std::vector<Owned<OrtValue>> values_;
    Owned<OrtIoBinding> binding_;
    mutable std::mutex mutex_;
};

// A category's statistics, ready for the detector's scorer. Immutable; shared by the predictions that use it.
struct Prepared {
    StatisticsGroups statistics;         // empty where the graph holds them on a device
    Scoring scoring;
    std::unique_ptr<GraphScorer> graph;  // null: the compiled scorer
};

// Everything that one prediction at a time writes to.
class Workspace {
public:
    // Makes room for `batch` images; allocates nothing if it has been there before.
    void reserve(std::size_t batch);

    Preprocessor preprocessor;
    std::optional<Finder> finder;  // made with the first registered part
    ScorerWorkspace scorer;
    Buffer<unsigned char> images;  // [batch, 224, 224, 3]
    Buffer<float> f1, f2, f3, theta;
    Buffer<float> distances, judging, maps, scores;

private:
    friend class Engine;
    struct Bound {
        Owned<OrtIoBinding> binding;
        Owned<OrtValue> image, theta, f1, f2, f3;
    };
    std::size_t capacity_ = 0;
    std::vector<Bound> bound_;  // by batch size
};

class Engine {
public:
    // Throws Error.
    Engine(const Artifact &artifact, const std::string &onnxruntime, const std::string &device,
           const std::string &provider_options, int threads, regad_scorer scorer, std::size_t concurrency);

    // Makes statistics ready, to be scored so. Throws Error.
    std::shared_ptr<const Prepared> prepare(const Artifact &artifact, StatisticsGroups statistics, Scoring scoring);

    // A workspace of one's own until it goes out of scope.
    class Lease {
    public:
        explicit Lease(Engine &engine);
        Lease(const Lease &) = delete;
        Lease &operator=(const Lease &) = delete;
        ~Lease();
        Workspace &operator*() const noexcept { return *workspace_; }
        Workspace *operator->() const noexcept { return workspace_.get(); }

    private:
        Engine &engine_;
        std::unique_ptr<Workspace> workspace_;
    };

    // workspace.images -> features and theta. With `on_host` the features land in f1, f2, f3 in any case.
    void encode(Workspace &workspace, std::size_t batch, bool on_host);
    // The features -> workspace.maps and scores. Throws Error if a value is not finite.
    void score(Workspace &workspace, std::size_t batch, const Prepared &prepared);

    const Ort &ort() const noexcept { return *ort_; }
    const Device &device() const noexcept { return device_; }
    bool uses_graph() const noexcept { return graph_; }
    Pool &pool() noexcept { return pool_; }

private:
    Workspace::Bound &bind(Workspace &workspace, std::size_t batch, bool on_host);
    void take_outputs(Workspace::Bound &bound);
    void first_run(Workspace &workspace, const GraphScorer *scorer);
    std::shared_ptr<const Session> scorer_session(const Artifact &artifact, const StatisticsGroups &groups);

    std::shared_ptr<const Ort> ort_;
    Device device_;
    bool graph_;
    Session encoder_;
    Owned<OrtMemoryInfo> device_memory_;
    Pool pool_;
    std::mutex scorers_mutex_;
    std::map<std::string, std::shared_ptr<const Session>> scorers_;  // by the form of the statistics
    std::mutex workspaces_mutex_;
    std::size_t concurrency_;
    std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace regad
