#include "formats/safetensors.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "formats/json.hpp"

namespace regad {
namespace {

constexpr std::uint64_t longest_header = 16U << 20U;

const std::map<std::string, std::uint64_t> &dtype_bytes() {
    static const std::map<std::string, std::uint64_t> table = {
        {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
        {"I32", 4}, {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"U64", 8}};
    return table;
}

std::string shape_text(const std::vector<std::uint64_t> &shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
    }
    return text + "]";
}

std::uint64_t whole(const Json &value, const std::string &name) {
    if (!value.is_number_unsigned()) {
        throw std::runtime_error("tensor '" + name + "' has a size or an offset that is not a whole number");
    }
    return value.get<std::uint64_t>();
}

TensorEntry read_entry(const std::string &name, const Json &value, std::uint64_t start, std::uint64_t room) {
    TensorEntry entry;
    entry.dtype = get_text(value, "dtype");
    const auto size = dtype_bytes().find(entry.dtype);
    const Json &shape = member(value, "shape");
    const Json &offsets = member(value, "data_offsets");
    if (size == dtype_bytes().end() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2) {
        throw std::runtime_error("tensor '" + name + "' has an unknown dtype or a malformed entry");
    }
    std::uint64_t bytes = size->second;
    for (const Json &item : shape) {
        const std::uint64_t length = whole(item, name);
        if (__builtin_mul_overflow(bytes, length, &bytes)) {
            throw std::runtime_error("tensor '" + name + "' is larger than any file");
        }
        entry.shape.push_back(length);
    }
    const std::uint64_t begin = whole(offsets[0], name);
    const std::uint64_t end = whole(offsets[1], name);
    if (begin > end || end > room || end - begin != bytes) {
        throw std::runtime_error("tensor '" + name + "' does not lie within the file as its shape says");
    }
    entry.offset = start + begin;
    entry.bytes = bytes;
    return entry;
}

void check_no_gaps(const SafetensorsHeader &header, std::uint64_t start, std::uint64_t size) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
    for (const auto &[name, entry] : header.tensors) {
        spans.emplace_back(entry.offset, entry.offset + entry.bytes);
    }
    std::sort(spans.begin(), spans.end());
    std::uint64_t at = start;
    for (const auto &[begin, end] : spans) {
        if (begin != at) {
            throw std::runtime_error("its tensors overlap or leave a gap");
        }
        at = end;
    }
    if (at != size) {
        throw std::runtime_error("it has bytes after its last tensor");
    }
}

}  // namespace

const TensorEntry &SafetensorsHeader::expect(const std::string &name, const std::string &dtype,
                                             const std::vector<std::uint64_t> &shape) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
        throw std::runtime_error("tensor '" + name + "' is missing");
    }
    const TensorEntry &entry = found->second;
    if (entry.dtype != dtype || entry.shape != shape) {
        throw std::runtime_error("tensor '" + name + "' is " + entry.dtype + " " + shape_text(entry.shape) +
                                 "; expected " + dtype + " " + shape_text(shape));
    }
    return entry;
}

SafetensorsHeader read_safetensors_header(const Source &source) {
    unsigned char prefix[8];
    source.read(0, prefix, sizeof prefix);
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i) {
        length = length << 8U | prefix[i];
    }
    if (length < 2 || length > longest_header) {
        throw std::runtime_error("it is not a safetensors file (its header would have " + std::to_string(length) +
                                 " bytes)");
    }
    std::string text(static_cast<std::size_t>(length), '\0');
    source.read(8, text.data(), text.size());
    if (text.front() != '{') {
        throw std::runtime_error("it is not a safetensors file (its header does not begin with '{')");
    }
    const Json root = parse_json(text);
    const std::uint64_t start = 8 + length;
    const std::uint64_t room = source.size() - start;
    SafetensorsHeader header;
    for (const auto &[name, value] : root.items()) {
        if (name != "__metadata__") {
            header.tensors.emplace(name, read_entry(name, value, start, room));
            continue;
        }
        if (!value.is_object()) {
            throw std::runtime_error("its metadata is not an object");
        }
        for (const auto &[key, item] : value.items()) {
            header.metadata.emplace(key, get_text(value, key.c_str()));
        }
    }
    check_no_gaps(header, start, source.size());
    return header;
}

}  // namespace regad
