// The safetensors container (huggingface/safetensors): header and bounds are checked before any tensor is read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/source.hpp"

namespace regad {

struct TensorEntry {
    std::string dtype;                // "F32", "U8", ...
    std::vector<std::uint64_t> shape;
    std::uint64_t offset = 0;         // from the start of the file
    std::uint64_t bytes = 0;
};

struct SafetensorsHeader {
    std::map<std::string, std::string> metadata;
    std::map<std::string, TensorEntry> tensors;  // sorted by name

    // The entry if it has this dtype and shape. Throws std::runtime_error otherwise.
    const TensorEntry &expect(const std::string &name, const std::string &dtype,
                              const std::vector<std::uint64_t> &shape) const;
};

// Throws std::runtime_error for anything that the reference implementation refuses: a header that is too long or
// not JSON, unknown dtypes, sizes that overflow or disagree, gaps, overlaps, trailing bytes.
SafetensorsHeader read_safetensors_header(const Source &source);

}  // namespace regad
