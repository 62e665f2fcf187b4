// Writes small but valid artifacts and category files, and damaged ones.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/json.hpp"

namespace files {

using Json = regad::Json;

struct Tensor {
    std::string dtype;
    std::vector<std::uint64_t> shape;
    std::string bytes;
};
using Tensors = std::map<std::string, Tensor>;

// Random numbers within +-scale, and their nearest float16 towards 0: what is too small for a normal one becomes 0.
void fill(float *values, std::size_t count, unsigned seed, float scale);
void halve(const float *values, std::size_t count, std::uint16_t *halves);
Tensor floats(const std::vector<std::uint64_t> &shape, unsigned seed, float scale);
// Bytes of data, by its dtype and shape.
std::uint64_t data_bytes(const Tensor &tensor);
// A file of tensors; of one whose bytes are left out, the header alone.
std::string safetensors(const Tensors &tensors, const std::map<std::string, std::string> &metadata);

// A tensor of random numbers that is yet to be drawn.
struct Drawn {
    std::uint64_t count() const;
    std::string name;
    std::vector<std::uint64_t> shape;
    unsigned seed;
    float scale;
};
// `encoding` gram, hybrid or cholesky, the statistics of a group: `finest` 1 for RegAD's, 2 or 3 for a level alone.
std::vector<Drawn> drawn(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest = 1);
Tensors statistics(const std::string &encoding, std::uint64_t rank, unsigned seed, std::size_t finest = 1);
// What is stored as fp16: all but the means and the calibration.
bool stays_wide(const std::string &name);
Tensors halved(Tensors tensors);
// Its dtype is that of the tensors.
Json category_meta(const std::string &encoding, std::uint64_t rank, const Tensors &tensors,
                   const std::string &artifact);
std::string category(const Json &meta, const Tensors &tensors);
std::string category(const std::string &encoding, std::uint64_t rank, const Tensors &tensors,
                     const std::string &artifact);
const Tensors &golden_tensors();
const std::string &golden();
Json manifest(const std::map<std::string, std::string> &contents);
// Its text; with a file for the gram scorer, and then a region of interest, if one is named.
std::string manifest_text(const std::map<std::string, std::string> &contents, const std::string &scorer = "");
std::string artifact_hash(const Json &manifest);

// A folder that is removed at the end.
class Folder {
public:
    Folder();
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    ~Folder();
    std::string operator/(const std::string &name) const { return path + "/" + name; }
    std::string path;
};

void write(const std::string &path, const std::string &bytes);

// Writes an artifact for the fake ONNX Runtime, with a gram scorer graph if asked; its hash.
std::string write_artifact(const std::string &path, bool with_scorer = false, const std::string &dtype = "fp32",
                           bool registers = true);
void write_category(const std::string &path, const std::string &artifact, const std::string &encoding,
                    std::uint64_t rank, unsigned seed, double threshold, bool half = false);

}  // namespace files
