// libFuzzer: any bytes as manifest.json.
#include <exception>

#include "formats/artifact.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    try {
        regad::Manifest::parse(std::string_view(reinterpret_cast<const char *>(data), size));
    } catch (const std::exception &) {
    }
    return 0;
}
