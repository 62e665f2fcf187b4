// libFuzzer: any bytes as a category file. The tensors of a valid file would be megabytes, so the header is fuzzed
// as text and the container's length prefix and data are put around it half of the time.
#include <cstring>
#include <exception>
#include <string>

#include "category.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    std::string bytes(reinterpret_cast<const char *>(data), size);
    if (size > 2 && (data[0] & 1U) != 0) {
        const std::size_t length = std::min<std::size_t>(data[1] * 256U + data[0], size - 2);
        std::string prefix(8, '\0');
        prefix[0] = static_cast<char>(length & 255U);
        prefix[1] = static_cast<char>(length >> 8U);
        bytes = prefix + bytes.substr(2);
    }
    try {
        regad::Category::read(*regad::open_memory(bytes.data(), bytes.size()));
    } catch (const std::exception &) {
    }
    return 0;
}
