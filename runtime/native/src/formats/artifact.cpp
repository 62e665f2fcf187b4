#include "formats/artifact.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>

#include "core/error.hpp"
#include "formats/json.hpp"
#include "formats/requires.hpp"
#include "formats/safetensors.hpp"
#include "formats/scoring.hpp"
#include "formats/sha256.hpp"
#include "core/statistics.hpp"

namespace regad {
namespace {

constexpr const char *manifest_name = "manifest.json";
constexpr const char *encoder_name = "encoder.onnx";
constexpr const char *golden_name = "golden.safetensors";
constexpr const char *make_one = "make one with: regad-export --ckpt model.pt --out model.regad";
constexpr const char *copy_again = "copy the whole artifact folder again, or export it again: regad-export";
constexpr std::uint64_t longest_manifest = 4U << 20U;
constexpr std::uint64_t longest_file = std::uint64_t{1} << 32U;
constexpr std::size_t most_golden_images = 64;

bool is_plain_name(const std::string &name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
}

FileEntry read_file_entry(const std::string &name, const Json &value) {
    FileEntry entry{get_text(value, "sha256"), get_count(value, "bytes")};
    const bool hex = entry.sha256.size() == 64 &&
                     std::all_of(entry.sha256.begin(), entry.sha256.end(), [](char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
    if (!is_plain_name(name) || !hex || entry.bytes > longest_file) {
        throw std::runtime_error("'files' has a malformed entry");
    }
    return entry;
}

const Json &feature_sizes() {
    static const Json sizes = parse_json(
        R"([{"name":"f1","grid":56,"channels":64},{"name":"f2","grid":28,"channels":128},)"
        R"({"name":"f3","grid":14,"channels":256}])");
    return sizes;
}

// The feature table without what the encoder does to the length of its features: that is in its graph.
Json without_normalization(Json rows) {
    if (!rows.is_array()) {
        throw std::runtime_error("'features' is not a list");
    }
    for (Json &row : rows) {
        if (row.contains("exponent") || row.contains("gain")) {
            const double exponent = get_number(row, "exponent");
            if (exponent < 0 || exponent > 1 || get_number(row, "gain") <= 0) {
                throw std::runtime_error("a feature's exponent is outside 0 to 1, or its gain not above 0");
            }
            row.erase("exponent");
            row.erase("gain");
        }
    }
    return rows;
}

std::string identity(const std::string &encoder_sha256) {
    Json object;
    object["encoder"] = encoder_sha256;
    object["features"] = feature_sizes();
    object["epsilon"] = epsilon;
    object["size"] = input_size;
    object["color"] = "RGB";
    const std::string text = object.dump();  // keys sorted, no spaces: the canonical form
    return sha256_hex(text.data(), text.size());
}

struct Tolerances {
    double features, theta, scored;
};

const std::map<std::string, Tolerances> &tolerances() {
    static const std::map<std::string, Tolerances> table = {
        {"fp32", {1e-3, 2e-4, 1e-3}}, {"fp16", {2e-2, 2e-3, 1e-2}}, {"int8", {3e-1, 5e-2, 2e-1}}};
    return table;
}

Buffer<float> read_floats(const Source &source, const SafetensorsHeader &header, const std::string &name,
                          const std::vector<std::uint64_t> &shape) {
    const TensorEntry &entry = header.expect(name, "F32", shape);
    Buffer<float> values(static_cast<std::size_t>(entry.bytes / sizeof(float)));
    source.read(entry.offset, values.data(), values.size() * sizeof(float));
    if (!all_finite(values.data(), values.size())) {
        throw std::runtime_error("tensor '" + name + "' holds values that are not finite");
    }
    return values;
}

}  // namespace

Manifest Manifest::parse(std::string_view text) {
    const Json root = parse_json(text);
    if (get_text(root, "format") != "regad-artifact") {
        throw std::runtime_error("it is not the manifest of an artifact");
    }
    if (const std::uint64_t version = get_count(root, "version"); version != 2) {
        throw std::runtime_error("it has artifact version " + std::to_string(version) +
                                 ", this library reads version 2: export it again with regad-export");
    }
    check_requires(root);
    ScoringSpec::from_json(member(root, "scoring"));
    if (without_normalization(member(root, "features")) != feature_sizes() || get_number(root, "epsilon") != epsilon) {
        throw std::runtime_error("it describes another encoder than this library reads");
    }
    Manifest manifest;
    const Json &files = member(root, "files");
    const Json &scorers = member(root, "scorers");
    if (!files.is_object() || !scorers.is_object()) {
        throw std::runtime_error("'files' or 'scorers' is not an object");
    }
    for (const auto &[name, value] : files.items()) {
        manifest.files.emplace(name, read_file_entry(name, value));
    }
    for (const auto &[encoding, value] : scorers.items()) {
        static_cast<void>(value);
        const std::string file = get_text(scorers, encoding.c_str());
        if (manifest.files.count(file) == 0) {
            throw std::runtime_error("the scorer graph '" + file + "' is not in 'files'");
        }
        manifest.scorers.emplace(encoding, file);
    }
    if (manifest.files.count(encoder_name) == 0 || manifest.files.count(golden_name) == 0) {
        throw std::runtime_error("encoder.onnx or golden.safetensors is not in 'files'");
    }
    manifest.spec = InputSpec::from_json(member(root, "input"));
    manifest.dtype = get_text(root, "dtype");
    if (tolerances().count(manifest.dtype) == 0) {
        throw std::runtime_error("its dtype is '" + manifest.dtype + "', this library reads fp32, fp16 and int8");
    }
    manifest.registers = !root.contains("transforms") || get_text(root, "transforms") != "identity";
    if (root.contains("statistics_dtype")) {
        manifest.statistics_dtype = dtype_from(get_text(root, "statistics_dtype"));
    }
    manifest.hash = identity(manifest.files.at(encoder_name).sha256);
    return manifest;
}

double Manifest::tolerance(const std::string &output) const {
    const Tolerances &own = tolerances().at(dtype);
    if (output == "theta") {
        return own.theta;
    }
    if (output == "anomaly_map" || output == "anomaly_score") {
        return statistics_dtype == Dtype::fp16 ? std::max(own.scored, tolerances().at("fp16").scored) : own.scored;
    }
    return own.features;
}

Golden Golden::read(const Source &source) {
    const SafetensorsHeader header = read_safetensors_header(source);
    const auto format = header.metadata.find("format");
    const auto version = header.metadata.find("version");
    if (format == header.metadata.end() || format->second != "regad-golden" || version == header.metadata.end()) {
        throw std::runtime_error("it is not a golden file");
    }
    if (version->second != "2") {
        throw std::runtime_error("it has golden version " + version->second + ", this library reads version 2");
    }
    const auto images = header.tensors.find("images");
    const auto views = header.tensors.find("stats.x1");
    if (images == header.tensors.end() || images->second.shape.size() != 4 || views == header.tensors.end() ||
        views->second.shape.size() != 3) {
        throw std::runtime_error("tensor 'images' or 'stats.x1' is missing or malformed");
    }
    const std::uint64_t count = images->second.shape[0];
    const std::uint64_t rank = views->second.shape[1];
    if (count < 1 || count > most_golden_images || rank < 1 || rank > most_rank) {
        throw std::runtime_error("it holds no images or too many, or its rank is out of range");
    }
    Golden golden;
    golden.count = static_cast<std::size_t>(count);
    golden.rank = static_cast<std::size_t>(rank);
    const TensorEntry &entry = header.expect("images", "U8", {count, input_size, input_size, 3});
    golden.images = Buffer<unsigned char>(static_cast<std::size_t>(entry.bytes));
    source.read(entry.offset, golden.images.data(), golden.images.size());
    const std::map<std::string, std::vector<std::uint64_t>> shapes = {
        {"f1", {count, positions1, channels1}}, {"f2", {count, positions2, channels2}},
        {"f3", {count, positions3, channels3}}, {"theta", {count, 3, 2, 3}},
        {"anomaly_map", {count, map_size, map_size}}, {"anomaly_score", {count}}};
    for (const auto &[name, shape] : shapes) {
        golden.tensors.emplace(name, read_floats(source, header, name, shape));
    }
    for (const TensorShape &tensor : tensor_shapes(Encoding::gram, golden.rank)) {
        const std::string name = "stats." + tensor.name;
        golden.tensors.emplace(name, read_floats(source, header, name, tensor.shape));
    }
    return golden;
}

Artifact Artifact::open(const std::string &path) {
    Artifact artifact;
    artifact.path_ = path;
    const std::string file = path + "/" + manifest_name;
    try {
        const Buffer<unsigned char> text = read_all(*open_file(file), longest_manifest);
        artifact.manifest_ =
            Manifest::parse(std::string_view(reinterpret_cast<const char *>(text.data()), text.size()));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &error) {
        fail(REGAD_ARTIFACT_ERROR, file, " cannot be used (", error.what(), "); ", make_one);
    }
    for (const auto &[name, entry] : artifact.manifest_.files) {
        if (name != encoder_name) {  // that one is checked when the session is made from its bytes
            artifact.read(name);
        }
    }
    return artifact;
}

Buffer<unsigned char> Artifact::read(const std::string &name) const {
    const std::string file = path_ + "/" + name;
    const FileEntry &entry = manifest_.files.at(name);
    Buffer<unsigned char> bytes;
    try {
        const std::unique_ptr<Source> source = open_file(file);
        if (source->size() != entry.bytes) {
            throw std::runtime_error("it has " + std::to_string(source->size()) + " bytes, the manifest says " +
                                     std::to_string(entry.bytes));
        }
        bytes = read_all(*source, longest_file);
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &error) {
        fail(REGAD_ARTIFACT_ERROR, file, " cannot be used (", error.what(), "); ", copy_again);
    }
    if (sha256_hex(bytes.data(), bytes.size()) != entry.sha256) {
        fail(REGAD_ARTIFACT_ERROR, file, " was altered (its sha256 is not the manifest's); ", copy_again);
    }
    return bytes;
}

Golden Artifact::golden() const {
    const Buffer<unsigned char> bytes = read(golden_name);
    try {
        return Golden::read(*open_memory(bytes.data(), bytes.size()));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &error) {
        fail(REGAD_ARTIFACT_ERROR, path_, "/", golden_name, " cannot be used (", error.what(),
             "); export the artifact again: regad-export");
    }
}

}  // namespace regad
