#include "files.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <stdexcept>

#include "formats/sha256.hpp"

namespace files {
namespace {

Json input_json() {
    return {{"size", 224}, {"color", "RGB"}, {"layout", "NHWC"}, {"dtype", "uint8"}, {"fit", "stretch"},
            {"resample", "box"}, {"roi", nullptr}, {"mean", {0.0, 0.0, 0.0}}, {"std", {1.0, 1.0, 1.0}}};
}

Json scoring_json() {
    return {{"score", "max"},         {"cells", 0},   {"levels", {"f1", "f2", "f3"}},
            {"calibration", nullptr}, {"map", "raw"}, {"map_gain", 1.0}};
}

std::string tensors_sha256(const Tensors &tensors) {
    regad::Sha256 digest;
    for (const auto &[name, tensor] : tensors) {
        digest.update(name.data(), name.size());
        digest.update(tensor.bytes.data(), tensor.bytes.size());
    }
    return digest.hex();
}

Tensors make_golden() {
    Tensors tensors;
    for (auto &[name, tensor] : statistics("gram", 2, 3)) {
        tensors["stats." + name] = tensor;
    }
    tensors["images"] = {"U8", {1, 224, 224, 3}, std::string(224 * 224 * 3, '\x20')};
    tensors["f1"] = floats({1, 3136, 64}, 1, 1);
    tensors["f2"] = floats({1, 784, 128}, 2, 1);
    tensors["f3"] = floats({1, 196, 256}, 3, 1);
    tensors["theta"] = floats({1, 3, 2, 3}, 4, 1);
    tensors["anomaly_map"] = floats({1, 224, 224}, 5, 1);
    tensors["anomaly_score"] = floats({1}, 6, 1);
    return tensors;
}

}  // namespace

std::uint64_t data_bytes(const Tensor &tensor) {
    const std::uint64_t wide = tensor.dtype == "F32" ? 4 : tensor.dtype == "F16" ? 2 : 1;
    return std::accumulate(tensor.shape.begin(), tensor.shape.end(), wide, std::multiplies<std::uint64_t>());
}

std::string safetensors(const Tensors &tensors, const std::map<std::string, std::string> &metadata) {
    Json header;
    header["__metadata__"] = metadata;
    std::uint64_t end = 0;
    std::size_t held = 0;
    for (const auto &[name, tensor] : tensors) {
        const std::uint64_t begin = end;
        end += data_bytes(tensor);
        held += tensor.bytes.size();
        header[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    std::string file(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
        file[i] = static_cast<char>(length >> (8 * i) & 255U);
    }
    file.reserve(file.size() + text.size() + held);
    file += text;
    for (const auto &[name, tensor] : tensors) {
        file += tensor.bytes;
    }
    return file;
}

Json category_meta(const std::string &encoding, std::uint64_t rank, const Tensors &tensors,
                   const std::string &artifact) {
    const auto is_half = [](const auto &item) { return item.second.dtype == "F16"; };
    const bool half = std::any_of(tensors.begin(), tensors.end(), is_half);
    return {{"requires", Json::array()},
            {"scoring", scoring_json()},
            {"registration", nullptr},
            {"limits", Json::object()},
            {"artifact", artifact},
            {"encoding", encoding},
            {"shot", 1},
            {"views", rank + 1},
            {"rank", rank},
            {"epsilon", 0.01},
            {"dtype", half ? "fp16" : "fp32"},
            {"data_sha256", tensors_sha256(tensors)},
            {"input", input_json()},
            {"threshold",
             {{"value", 20.0}, {"method", "manual"}, {"target_frr", 0.01}, {"scores", Json::array()}, {"note", ""},
              {"warn", nullptr}, {"prior", nullptr}}},
            {"support", Json::array()},
            {"software", Json::object()},
            {"device", "cpu"},
            {"created", "2024-01-01T00:00:00Z"}};
}

std::string category(const Json &meta, const Tensors &tensors) {
    return safetensors(tensors, {{"format", "regad-category"}, {"version", "3"}, {"meta", meta.dump()}});
}

std::string category(const std::string &encoding, std::uint64_t rank, const Tensors &tensors,
                     const std::string &artifact) {
    return category(category_meta(encoding, rank, tensors, artifact), tensors);
}

const Tensors &golden_tensors() {
    static const Tensors made = make_golden();
    return made;
}

const std::string &golden() {
    static const std::string made = safetensors(golden_tensors(), {{"format", "regad-golden"}, {"version", "2"}});
    return made;
}

Json manifest(const std::map<std::string, std::string> &contents) {
    Json table = Json::object();
    for (const auto &[name, bytes] : contents) {
        table[name] = {{"sha256", regad::sha256_hex(bytes.data(), bytes.size())}, {"bytes", bytes.size()}};
    }
    return {{"format", "regad-artifact"},
            {"version", 2},
            {"requires", Json::array()},
            {"scoring", scoring_json()},
            {"input", input_json()},
            {"features",
             {{{"name", "f1"}, {"grid", 56}, {"channels", 64}},
              {{"name", "f2"}, {"grid", 28}, {"channels", 128}},
              {{"name", "f3"}, {"grid", 14}, {"channels", 256}}}},
            {"epsilon", 0.01},
            {"dtype", "fp32"},
            {"scorers", Json::object()},
            {"files", table}};
}

std::string manifest_text(const std::map<std::string, std::string> &contents, const std::string &scorer) {
    Json json = manifest(contents);
    if (!scorer.empty()) {
        json["scorers"]["gram"] = scorer;
        json["input"]["roi"] = {1, 2, 3, 4};
    }
    return json.dump(1);
}

std::string artifact_hash(const Json &manifest) {
    const Json identity = {{"encoder", manifest["files"]["encoder.onnx"]["sha256"]},
                           {"features", manifest["features"]},
                           {"epsilon", manifest["epsilon"]},
                           {"size", 224},
                           {"color", "RGB"}};
    const std::string text = identity.dump();
    return regad::sha256_hex(text.data(), text.size());
}

Folder::Folder() {
    std::string name = (std::filesystem::temp_directory_path() / ("regad-test-" + std::string(6, 'X'))).string();
    if (::mkdtemp(name.data()) == nullptr) {
        throw std::runtime_error("mkdtemp failed");
    }
    path = name;
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

void write(const std::string &path, const std::string &bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    if (!file.flush()) {
        throw std::runtime_error("cannot write " + path);
    }
}

std::string write_artifact(const std::string &path, bool with_scorer, const std::string &dtype, bool registers) {
    std::filesystem::create_directories(path);
    std::map<std::string, std::string> contents = {{"encoder.onnx", "the fake runtime reads nothing"},
                                                         {"golden.safetensors", golden()}};
    if (with_scorer) {
        contents["gram.onnx"] = "a scorer";
    }
    for (const auto &[name, bytes] : contents) {
        write(path + "/" + name, bytes);
    }
    Json json = manifest(contents);
    json["dtype"] = dtype;
    json["transforms"] = registers ? "predicted" : "identity";
    if (with_scorer) {
        json["scorers"]["gram"] = "gram.onnx";
    }
    write(path + "/manifest.json", json.dump(2));
    return artifact_hash(json);
}

void write_category(const std::string &path, const std::string &artifact, const std::string &encoding,
                    std::uint64_t rank, unsigned seed, double threshold, bool half) {
    const Tensors full = statistics(encoding, rank, seed);
    const Tensors tensors = half ? halved(full) : full;
    Json meta = category_meta(encoding, rank, tensors, artifact);
    meta["threshold"]["value"] = threshold;
    write(path, category(meta, tensors));
}

}  // namespace files
