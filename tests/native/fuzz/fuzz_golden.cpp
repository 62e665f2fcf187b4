// libFuzzer: any header over any amount of data as the golden file (padded.hpp), and any bytes as a bare container.
#include <exception>

#include "formats/artifact.hpp"
#include "padded.hpp"
#include "formats/safetensors.hpp"

namespace {

void read_container(const regad::Source &source) {
    for (const auto &[name, entry] : regad::read_safetensors_header(source).tensors) {
        regad::Buffer<unsigned char> bytes(static_cast<std::size_t>(entry.bytes));
        source.read(entry.offset, bytes.data(), bytes.size());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    try {
        read_container(*regad::open_memory(data, size));
    } catch (const std::exception &) {
    }
    try {
        regad::Golden::read(fuzz::padded(data, size));
    } catch (const std::exception &) {
    }
    return 0;
}
