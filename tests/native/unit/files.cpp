#include "files.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
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

std::string bytes_of(const std::vector<float> &values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

}  // namespace

Tensor floats(const std::vector<std::uint64_t> &shape, unsigned seed, float scale) {
    std::uint64_t count = 1;
    for (const std::uint64_t length : shape) {
        count *= length;
    }
    // A linear congruential generator: there can be a hundred million values.
    std::uint32_t state = seed * 2654435761U + 12345U;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float &value : values) {
        state = state * 1664525U + 1013904223U;
        value = scale * (static_cast<float>(state >> 8U) / 8388608.0F - 1.0F);
    }
    return {"F32", shape, bytes_of(values)};
}

std::string safetensors(const Tensors &tensors, const std::map<std::string, std::string> &metadata) {
    Json header;
    header["__metadata__"] = metadata;
    std::string data;
    for (const auto &[name, tensor] : tensors) {
        header[name] = {{"dtype", tensor.dtype},
                        {"shape", tensor.shape},
                        {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
        data += tensor.bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    std::string file(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
        file[i] = static_cast<char>(length >> (8 * i) & 255U);
    }
    return file + text + data;
}

Tensors statistics(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest) {
    const auto packed = [](std::uint64_t size) { return size * (size + 1) / 2; };
    const auto staircase = [](std::uint64_t rows, std::uint64_t channels) {
        std::uint64_t length = 0;
        for (std::uint64_t row = 0; row < std::min(rows, channels); ++row) {
            length += channels - row / 16 * 16;
        }
        return length;
    };
    if (finest > 1) {
        const std::string n = std::to_string(finest);
        const std::uint64_t positions = finest == 2 ? 784 : 196, channels = finest == 2 ? 128 : 256;
        Tensors alone = {{"mean" + n, floats({positions, channels}, seed + static_cast<unsigned>(finest) - 1, 0.5F)}};
        if (encoding == "cholesky") {
            alone["w" + n + "_packed"] = floats({positions, packed(channels)}, seed + 3, 0.1F);
        } else {
            alone["x" + n + "_packed"] = floats({positions, staircase(rank, channels)}, seed + 10, 0.1F);
            alone["l" + n + "_packed"] = floats({positions, packed(rank)}, seed + 11, 0.1F);
        }
        return alone;
    }
    Tensors tensors = {{"mean1", floats({3136, 64}, seed, 0.5F)},
                       {"mean2", floats({784, 128}, seed + 1, 0.5F)},
                       {"mean3", floats({196, 256}, seed + 2, 0.5F)}};
    if (encoding == "cholesky") {
        tensors["w3_packed"] = floats({196, packed(256)}, seed + 3, 0.1F);
        tensors["w2_cross"] = floats({784, 128, 256}, seed + 4, 0.1F);
        tensors["w2_packed"] = floats({784, packed(128)}, seed + 5, 0.1F);
        tensors["w1_cross"] = floats({3136, 64, 384}, seed + 6, 0.1F);
        tensors["w1_packed"] = floats({3136, packed(64)}, seed + 7, 0.1F);
        return tensors;
    }
    tensors["x1"] = floats({3136, rank, 64}, seed + 8, 0.1F);
    tensors["x2"] = floats({784, rank, 128}, seed + 9, 0.1F);
    tensors["x3_packed"] = floats({196, staircase(rank, 256)}, seed + 10, 0.1F);
    const std::uint64_t positions = encoding == "gram" ? 3136 : 784;
    tensors["l_packed"] = floats({positions, packed(rank)}, seed + 11, 0.1F);
    if (encoding == "hybrid") {
        tensors["w1_packed"] = floats({3136, packed(64)}, seed + 12, 0.5F);
    }
    return tensors;
}

Tensors halved(Tensors tensors) {
    for (auto &[name, tensor] : tensors) {
        if (name.compare(0, 4, "mean") == 0 || name == "scale" || name == "norms") {
            continue;
        }
        std::string narrow(tensor.bytes.size() / 2, '\0');
        for (std::size_t i = 0; i < narrow.size() / 2; ++i) {
            std::uint32_t bits = 0;
            std::memcpy(&bits, tensor.bytes.data() + 4 * i, 4);
            const std::uint32_t exponent = bits >> 23U & 255U;  // the values here are far below 2^16
            const std::uint32_t value = exponent < 113 ? 0 : (exponent - 112) << 10U | (bits >> 13U & 1023U);
            const auto half = static_cast<std::uint16_t>(value | (bits >> 16U & 0x8000U));
            std::memcpy(narrow.data() + 2 * i, &half, 2);
        }
        tensor = {"F16", tensor.shape, narrow};
    }
    return tensors;
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

std::string golden() {
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
    return safetensors(tensors, {{"format", "regad-golden"}, {"version", "2"}});
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
