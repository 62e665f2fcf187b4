// libFuzzer: any bytes as the golden file, and as a bare safetensors container.
#include <exception>

#include "artifact.hpp"
#include "safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    const auto source = regad::open_memory(data, size);
    try {
        const regad::SafetensorsHeader header = regad::read_safetensors_header(*source);
        for (const auto &[name, entry] : header.tensors) {
            regad::Buffer<unsigned char> bytes(static_cast<std::size_t>(entry.bytes));
            source->read(entry.offset, bytes.data(), bytes.size());
        }
        regad::Golden::read(*source);
    } catch (const std::exception &) {
    }
    return 0;
}
