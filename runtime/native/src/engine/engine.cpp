#include "engine/engine.hpp"

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/kernels.hpp"

namespace regad {
namespace {

constexpr ONNXTensorElementDataType float32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;

std::vector<Port> encoder_inputs() {
    return {{"image", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {-1, input_size, input_size, 3}}};
}

std::vector<Port> feature_ports() {
    return {{"f1", float32, {-1, positions1, channels1}},
            {"f2", float32, {-1, positions2, channels2}},
            {"f3", float32, {-1, positions3, channels3}}};
}

std::vector<Port> encoder_outputs() {
    std::vector<Port> ports = feature_ports();
    ports.push_back({"theta", float32, {-1, 3, 2, 3}});
    return ports;
}

std::vector<Port> scoring_ports(const Groups &groups) {
    const auto grid = static_cast<std::int64_t>(grid_of(groups.back()));
    std::vector<Port> ports = {{"score_factors", float32, {grid, grid}}};
    if (groups.size() == 1) {
        ports.push_back({"score_weights", float32, {1 + grid * grid}});
    } else {
        ports.push_back({"score_weights", float32, {grid * grid}});
        ports.push_back({"map_gain", float32, {1}});
    }
    return ports;
}

// The values of these ports. Of one group the map's maximum weighs in the score, too: first, before the distances from
// the largest down.
std::vector<Buffer<float>> scoring_values(const Scoring &scoring) {
    const std::size_t count = positions_of(scoring.groups.back()), alone = scoring.groups.size() == 1 ? 1 : 0;
    Buffer<float> factors(count), weights(alone + count);
    std::fill(factors.begin(), factors.end(), 1.0F);
    std::copy(scoring.scale.begin(), scoring.scale.end(), factors.begin());
    std::fill(weights.begin(), weights.end(), 0.0F);
    if (scoring.cells == 0) {
        weights[0] = 1.0F;
    } else {
        std::fill_n(weights.begin() + alone, scoring.cells, 1.0F / static_cast<float>(scoring.cells));
    }
    std::vector<Buffer<float>> values;
    values.push_back(std::move(factors));
    values.push_back(std::move(weights));
    if (alone == 0) {
        values.emplace_back(1);
        values.back()[0] = scoring.map_gain;
    }
    return values;
}

std::vector<Port> map_ports() {
    return {{"anomaly_map", float32, {-1, map_size, map_size}}, {"anomaly_score", float32, {-1}}};
}

bool is_packed(const std::string &name) { return name.size() > 7 && name.compare(name.size() - 7, 7, "_packed") == 0; }

// Side of the triangle that is stored packed in `length` values.
std::size_t triangle_side(std::size_t length) {
    std::size_t side = 1;
    while (packed_length(side) < length) {
        ++side;
    }
    return side;
}

// Name and shape of a tensor as the scorer graph takes it: packed views dense, [P, R, C], triangles too, [P, R, R].
Port dense_port(const TensorShape &tensor, std::uint64_t rank, Dtype dtype) {
    Port port{tensor.name, is_half(tensor.name, dtype) ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 : float32, {}};
    for (const std::uint64_t length : tensor.shape) {
        port.shape.push_back(static_cast<std::int64_t>(length));
    }
    if (!is_packed(port.name)) {
        return port;
    }
    port.name.resize(port.name.size() - 7);
    if (port.name[0] == 'x') {
        const auto level = static_cast<std::size_t>(port.name[1] - '0');
        port.shape = {port.shape[0], static_cast<std::int64_t>(rank), static_cast<std::int64_t>(channels_of(level))};
    } else {
        const auto side = static_cast<std::int64_t>(triangle_side(static_cast<std::size_t>(tensor.shape[1])));
        port.shape = {port.shape[0], side, side};
    }
    return port;
}

// The values of a tensor in the shape of its port.
template <typename T>
Buffer<T> unpack(Buffer<T> packed, const std::string &name, const Port &port) {
    if (!is_packed(name)) {
        return packed;
    }
    const auto count = static_cast<std::size_t>(port.shape[0]), rows = static_cast<std::size_t>(port.shape[1]);
    const auto columns = static_cast<std::size_t>(port.shape[2]);
    const bool stairs = port.name[0] == 'x';
    Buffer<T> dense(count * rows * columns);
    std::fill(dense.begin(), dense.end(), T{});
    const T *from = packed.data();
    for (std::size_t matrix = 0; matrix < count; ++matrix) {
        for (std::size_t row = 0; row < rows; ++row) {
            const std::size_t first = stairs ? stair_start(row, columns) : 0, end = stairs ? columns : row + 1;
            std::copy_n(from, end - first, dense.data() + (matrix * rows + row) * columns + first);
            from += end - first;
        }
    }
    return dense;
}

template <typename T>
Buffer<T> copy(const Buffer<T> &from) {
    Buffer<T> to(from.size());
    std::copy(from.begin(), from.end(), to.begin());
    return to;
}

Buffer<float> widened(const Statistics &statistics, const std::string &name) {
    const auto half = statistics.halves.find(name);
    if (half == statistics.halves.end()) {
        return copy(statistics.tensors.at(name));
    }
    Buffer<float> values(half->second.size());
    kernels().widen(half->second.data(), half->second.size(), values.data());
    return values;
}

template <typename T>
Owned<OrtValue> wrap_floats(const Ort &ort, T &buffer, std::size_t count, const std::vector<std::int64_t> &shape) {
    return wrap(ort, float32, buffer.data(), count * sizeof(float), shape);
}

}  // namespace

GraphScorer::GraphScorer(std::shared_ptr<const Session> session, const StatisticsGroups &groups, const Scoring &scoring,
                         Dtype dtype, bool keep_on_host)
    : session_(std::move(session)), groups_(scoring.groups), binding_(session_->binding()) {
    for (const Statistics &group : groups) {
        for (const TensorShape &tensor : tensor_shapes(group.encoding, group.rank, group.finest)) {
            const Port port = dense_port(tensor, group.rank, dtype);
            if (port.type == float32) {
                floats_.push_back(unpack(widened(group, tensor.name), tensor.name, port));
                bind(port, floats_.back().data(), floats_.back().size() * sizeof(float));
            } else {
                halves_.push_back(unpack(copy(group.halves.at(tensor.name)), tensor.name, port));
                bind(port, halves_.back().data(), halves_.back().size() * sizeof(std::uint16_t));
            }
        }
    }
    std::vector<Buffer<float>> values = scoring_values(scoring);
    const std::vector<Port> ports = scoring_ports(groups_);
    for (std::size_t i = 0; i < ports.size(); ++i) {
        floats_.push_back(std::move(values[i]));
        bind(ports[i], floats_.back().data(), floats_.back().size() * sizeof(float));
    }
    if (!keep_on_host) {
        values_.clear();
        floats_.clear();
        halves_.clear();
    }
}

// Copies to the session's device, if that is not the host.
void GraphScorer::bind(const Port &port, void *data, std::size_t bytes) {
    const Ort &ort = session_->ort();
    values_.push_back(wrap(ort, port.type, data, bytes, port.shape));
    ort.check(ort.api().BindInput(binding_.get(), port.name.c_str(), values_.back().get()), REGAD_RUNTIME_ERROR,
              "binding statistics");
}

void GraphScorer::run(OrtValue *f1, OrtValue *f2, OrtValue *f3, std::size_t batch, float *maps, float *scores) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Ort &ort = session_->ort();
    const OrtApi &api = ort.api();
    OrtIoBinding *binding = binding_.get();
    const auto count = static_cast<std::int64_t>(batch);
    const Owned<OrtValue> map = wrap(ort, float32, maps, batch * map_length * sizeof(float), {count, map_size, map_size});
    const Owned<OrtValue> score = wrap(ort, float32, scores, batch * sizeof(float), {count});
    const std::pair<const char *, OrtValue *> features[] = {{"f1", f1}, {"f2", f2}, {"f3", f3}};
    for (std::size_t level = groups_.front(); level <= coarsest; ++level) {
        const auto &[name, value] = features[level - 1];
        ort.check(api.BindInput(binding, name, value), REGAD_RUNTIME_ERROR, "binding features");
    }
    ort.check(api.BindOutput(binding, "anomaly_map", map.get()), REGAD_RUNTIME_ERROR, "binding the map");
    ort.check(api.BindOutput(binding, "anomaly_score", score.get()), REGAD_RUNTIME_ERROR, "binding the score");
    session_->run(binding);
    ort.check(api.SynchronizeBoundOutputs(binding), REGAD_RUNTIME_ERROR, "waiting for the map");
}

void Workspace::reserve(std::size_t batch) {
    if (batch <= capacity_) {
        return;
    }
    bound_.clear();
    capacity_ = 0;
    images = Buffer<unsigned char>(batch * image_bytes);
    f1 = Buffer<float>(batch * positions1 * channels1);
    f2 = Buffer<float>(batch * positions2 * channels2);
    f3 = Buffer<float>(batch * positions3 * channels3);
    theta = Buffer<float>(batch * theta_length);
    distances = Buffer<float>(batch * positions1);
    maps = Buffer<float>(batch * map_length);
    scores = Buffer<float>(batch);
    judging = Buffer<float>(judging_workspace);
    bound_.resize(batch + 1);
    capacity_ = batch;
}

Engine::Engine(const Artifact &artifact, const std::string &onnxruntime, const std::string &device,
               const std::string &provider_options, int threads, regad_scorer scorer, std::size_t concurrency)
    : ort_(Ort::open(onnxruntime)), device_(Device::parse(device, provider_options, threads, *ort_)),
      graph_(scorer == REGAD_SCORER_GRAPH || (scorer == REGAD_SCORER_AUTO && !device_.on_cpu())),
      encoder_(ort_, device_.for_graph(artifact.manifest().dtype, artifact.manifest().registers, *ort_),
               artifact.read("encoder.onnx"), artifact.path() + "/encoder.onnx", encoder_inputs(), encoder_outputs()),
      device_memory_(memory_of(*ort_, device_)),
      pool_(threads > 0 ? static_cast<std::size_t>(threads) : usable_cores()), concurrency_(concurrency) {
    workspaces_.reserve(concurrency);
    for (std::size_t i = 0; i < concurrency; ++i) {
        workspaces_.push_back(std::make_unique<Workspace>());
        workspaces_.back()->reserve(1);
    }
    first_run(*workspaces_.back(), nullptr);
}

// The first run of a graph is slow (kernels are chosen, engines built): before the first prediction. Of one image.
void Engine::first_run(Workspace &workspace, const GraphScorer *scorer) {
    workspace.reserve(1);
    std::memset(workspace.images.data(), 0, image_bytes);
    encode(workspace, 1, !graph_);
    if (scorer != nullptr) {
        const Workspace::Bound &bound = workspace.bound_[1];
        scorer->run(bound.f1.get(), bound.f2.get(), bound.f3.get(), 1, workspace.maps.data(), workspace.scores.data());
    }
}

std::shared_ptr<const Session> Engine::scorer_session(const Artifact &artifact, const StatisticsGroups &groups) {
    const std::lock_guard<std::mutex> lock(scorers_mutex_);
    const std::string form = form_name(groups);
    std::shared_ptr<const Session> &session = scorers_[form];
    if (!session) {
        const auto file = artifact.manifest().scorers.find(form);
        if (file == artifact.manifest().scorers.end()) {
            fail(REGAD_ARTIFACT_ERROR, artifact.path(), " has no scorer graph for ", form,
                 " statistics; export it again: regad-export");
        }
        std::vector<Port> inputs = feature_ports();
        inputs.erase(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(groups.front().finest - 1));
        Groups finest;
        for (const Statistics &group : groups) {
            finest.push_back(group.finest);
            for (const TensorShape &tensor : tensor_shapes(group.encoding, 1, group.finest)) {
                Port port = dense_port(tensor, 1, artifact.manifest().statistics_dtype);
                if (tensor.name[0] == 'x') {
                    port.shape[1] = -1;
                } else if (tensor.name[0] == 'l') {
                    port.shape[1] = port.shape[2] = -1;
                }
                inputs.push_back(std::move(port));
            }
        }
        const std::vector<Port> scoring = scoring_ports(finest);
        inputs.insert(inputs.end(), scoring.begin(), scoring.end());
        session = std::make_shared<const Session>(ort_, device_.for_graph("fp32", true, *ort_), artifact.read(file->second),
                                                  artifact.path() + "/" + file->second, inputs, map_ports());
    }
    return session;
}

std::shared_ptr<const Prepared> Engine::prepare(const Artifact &artifact, StatisticsGroups statistics,
                                                Scoring scoring) {
    auto prepared = std::make_shared<Prepared>();
    if (graph_) {
        const Dtype dtype = artifact.manifest().statistics_dtype;
        if (dtype == Dtype::fp16 && statistics.front().dtype() == Dtype::fp32) {
            fail(REGAD_CATEGORY_ERROR, "the category's statistics are fp32, the artifact's scorer graphs take fp16 and "
                 "would round them; teach the part again for them: regad-calib --stats-dtype fp16");
        }
        prepared->graph = std::make_unique<GraphScorer>(
            scorer_session(artifact, statistics), statistics, scoring, dtype, device_.on_cpu());
        if (!device_.on_cpu()) {
            const Lease workspace(*this);
            first_run(*workspace, prepared->graph.get());
        }
    } else {
        prepared->statistics = std::move(statistics);
        prepared->scoring = std::move(scoring);
    }
    return prepared;
}

Engine::Lease::Lease(Engine &engine) : engine_(engine) {
    {
        const std::lock_guard<std::mutex> lock(engine_.workspaces_mutex_);
        if (!engine_.workspaces_.empty()) {
            workspace_ = std::move(engine_.workspaces_.back());
            engine_.workspaces_.pop_back();
        }
    }
    if (!workspace_) {
        workspace_ = std::make_unique<Workspace>();
    }
}

Engine::Lease::~Lease() {
    const std::lock_guard<std::mutex> lock(engine_.workspaces_mutex_);
    if (engine_.workspaces_.size() < engine_.concurrency_) {
        engine_.workspaces_.push_back(std::move(workspace_));  // within the capacity reserved
    }
}

Workspace::Bound &Engine::bind(Workspace &workspace, std::size_t batch, bool on_host) {
    Workspace::Bound &bound = workspace.bound_[batch];
    const OrtApi &api = ort_->api();
    if (bound.binding && device_.on_cpu()) {
        return bound;
    }
    const auto count = static_cast<std::int64_t>(batch);
    Workspace::Bound fresh;
    fresh.binding = encoder_.binding();
    fresh.image = wrap(*ort_, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, workspace.images.data(), batch * image_bytes,
                       {count, input_size, input_size, 3});
    fresh.theta = wrap_floats(*ort_, workspace.theta, batch * theta_length, {count, 3, 2, 3});
    ort_->check(api.BindInput(fresh.binding.get(), "image", fresh.image.get()), REGAD_RUNTIME_ERROR, "binding the image");
    ort_->check(api.BindOutput(fresh.binding.get(), "theta", fresh.theta.get()), REGAD_RUNTIME_ERROR, "binding theta");
    fresh.f1 = wrap_floats(*ort_, workspace.f1, batch * positions1 * channels1, {count, positions1, channels1});
    fresh.f2 = wrap_floats(*ort_, workspace.f2, batch * positions2 * channels2, {count, positions2, channels2});
    fresh.f3 = wrap_floats(*ort_, workspace.f3, batch * positions3 * channels3, {count, positions3, channels3});
    const std::pair<const char *, OrtValue *> features[] = {
        {"f1", fresh.f1.get()}, {"f2", fresh.f2.get()}, {"f3", fresh.f3.get()}};
    for (const auto &[name, value] : features) {
        OrtStatus *status = on_host || device_.on_cpu()
                                ? api.BindOutput(fresh.binding.get(), name, value)
                                : api.BindOutputToDevice(fresh.binding.get(), name, device_memory_.get());
        ort_->check(status, REGAD_RUNTIME_ERROR, "binding features");
    }
    bound = std::move(fresh);
    return bound;
}

// Replaces the host's feature tensors by those that the run left on the device.
void Engine::take_outputs(Workspace::Bound &bound) {
    const OrtApi &api = ort_->api();
    OrtAllocator *allocator = nullptr;
    OrtValue **values = nullptr;
    std::size_t count = 0;
    ort_->check(api.GetAllocatorWithDefaultOptions(&allocator), REGAD_RUNTIME_ERROR, "the allocator");
    ort_->check(api.GetBoundOutputValues(bound.binding.get(), allocator, &values, &count), REGAD_RUNTIME_ERROR,
                "taking the features");
    Owned<OrtValue> *to[] = {&bound.theta, &bound.f1, &bound.f2, &bound.f3};  // in the order they were bound
    for (std::size_t i = 0; i < count; ++i) {
        Owned<OrtValue> value(values[i], {&api});
        if (i >= 1 && i < 4) {
            to[i]->swap(value);
        }
    }
    ort_->check(api.AllocatorFree(allocator, values), REGAD_RUNTIME_ERROR, "taking the features");
}

void Engine::encode(Workspace &workspace, std::size_t batch, bool on_host) {
    workspace.reserve(batch);
    Workspace::Bound &bound = bind(workspace, batch, on_host);
    encoder_.run(bound.binding.get());
    if (!device_.on_cpu()) {
        ort_->check(ort_->api().SynchronizeBoundOutputs(bound.binding.get()), REGAD_RUNTIME_ERROR,
                    "waiting for the features");
        if (!on_host) {
            take_outputs(bound);
        }
    }
}

void Engine::score(Workspace &workspace, std::size_t batch, const Prepared &prepared) {
    if (prepared.graph) {
        Workspace::Bound &bound = workspace.bound_[batch];
        prepared.graph->run(bound.f1.get(), bound.f2.get(), bound.f3.get(), batch, workspace.maps.data(),
                            workspace.scores.data());
    } else {
        const Features features = {workspace.f1.data(), workspace.f2.data(), workspace.f3.data()};
        mahalanobis(prepared.statistics, features, batch, workspace.scorer, pool_, workspace.distances.data());
        judge(prepared.scoring, workspace.distances.data(), batch, workspace.judging.data(), workspace.maps.data(),
              workspace.scores.data());
    }
    if (!all_finite(workspace.maps.data(), batch * map_length) || !all_finite(workspace.scores.data(), batch) ||
        !all_finite(workspace.theta.data(), batch * theta_length)) {
        fail(REGAD_RUNTIME_ERROR, "the anomaly score is not finite; the image is not judged: run regad_self_test");
    }
}

}  // namespace regad
