// libFuzzer: any header over any amount of data as a category file (padded.hpp).
#include <exception>

#include "formats/category.hpp"
#include "padded.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    try {
        regad::Category::read(fuzz::padded(data, size));
    } catch (const std::exception &) {
    }
    return 0;
}
