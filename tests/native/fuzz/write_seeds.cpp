// Writes good and nearly good inputs for a fuzzer to start from: write_seeds FOLDER manifest|golden|category
#include <cstdio>
#include <string>

#include "files.hpp"
#include "padded.hpp"

namespace {

// A file's header as an input of padded.hpp, with the data's length.
std::string head(const std::string &bytes, std::uint64_t data) {
    std::uint64_t length = 0;
    for (std::size_t i = 8; i-- > 0;) {
        length = length << 8U | static_cast<unsigned char>(bytes[i]);
    }
    return fuzz::little_endian(data, 4) + '\0' + bytes.substr(8, static_cast<std::size_t>(length));
}

std::string head(const std::string &bytes, const files::Tensors &tensors) {
    std::uint64_t data = 0;
    for (const auto &[name, tensor] : tensors) {
        data += files::data_bytes(tensor);
    }
    return head(bytes, data);
}

// Statistics with every byte of data 0, so that an input describes them whole and their hash is right; data that is
// more than an input can describe is left out.
files::Tensors blank(const char *encoding, bool half) {
    files::Tensors tensors;
    std::uint64_t data = 0;
    for (const files::Drawn &tensor : files::drawn(encoding, 1, 1)) {
        const bool narrow = half && !files::stays_wide(tensor.name);
        data += files::data_bytes(tensors[tensor.name] = {narrow ? "F16" : "F32", tensor.shape, ""});
    }
    for (auto &[name, tensor] : tensors) {
        tensor.bytes.assign(data <= fuzz::most_data ? static_cast<std::size_t>(files::data_bytes(tensor)) : 0, '\0');
    }
    return tensors;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s FOLDER manifest|golden|category\n", argv[0]);
        return 2;
    }
    const std::string folder = argv[1], reader = argv[2];
    const files::Tensors few = {{"a", files::floats({2, 3}, 1, 1)}, {"b", {"U8", {4}, "wxyz"}}};
    const std::string small = files::safetensors(few, {{"format", "regad-golden"}, {"version", "2"}});
    if (reader == "manifest") {
        const std::map<std::string, std::string> contents = {{"encoder.onnx", "x"}, {"golden.safetensors", "y"},
                                                             {"s.onnx", "z"}};
        files::write(folder + "/plain", files::manifest_text(contents));
        files::write(folder + "/full", files::manifest_text(contents, "s.onnx"));
    } else if (reader == "golden") {
        files::write(folder + "/head", head(files::golden(), files::golden_tensors()));
        files::write(folder + "/small", small);
        files::write(folder + "/small-head", head(small, few));
    } else {
        for (const char *encoding : {"gram", "hybrid", "cholesky"}) {
            for (const bool half : {false, true}) {
                const files::Tensors tensors = blank(encoding, half);
                const std::string bytes = files::category(encoding, 1, tensors, "hash");
                files::write(folder + "/" + encoding + (half ? "-fp16" : ""), head(bytes, tensors));
            }
        }
        files::write(folder + "/small", head(small, few));
    }
    return 0;
}
