// Writes good and nearly good inputs for a fuzzer to start from: write_seeds FOLDER manifest|golden|category
#include <nlohmann/json.hpp>

#include <cstdio>
#include <string>

#include "files.hpp"
#include "padded.hpp"

namespace {

// A file's header as an input of padded.hpp, with the data's length.
std::string head(const std::string &bytes) {
    std::uint64_t length = 0;
    for (std::size_t i = 8; i-- > 0;) {
        length = length << 8U | static_cast<unsigned char>(bytes[i]);
    }
    const auto text = static_cast<std::size_t>(length);
    return fuzz::little_endian(bytes.size() - 8 - text, 4) + '\0' + bytes.substr(8, text);
}

// The same with every byte of data 0, so that the input describes it whole and its hash is right.
files::Tensors blank(files::Tensors tensors) {
    for (auto &[name, tensor] : tensors) {
        tensor.bytes.assign(tensor.bytes.size(), '\0');
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
    const std::string small = files::safetensors({{"a", files::floats({2, 3}, 1, 1)}, {"b", {"U8", {4}, "wxyz"}}},
                                                 {{"format", "regad-golden"}, {"version", "2"}});
    if (reader == "manifest") {
        files::Json json = files::manifest({{"encoder.onnx", "x"}, {"golden.safetensors", "y"}, {"s.onnx", "z"}});
        files::write(folder + "/plain", json.dump());
        json["scorers"]["gram"] = "s.onnx";
        json["input"]["roi"] = {1, 2, 3, 4};
        files::write(folder + "/full", json.dump(1));
    } else if (reader == "golden") {
        files::write(folder + "/head", head(files::golden()));
        files::write(folder + "/small", small);
        files::write(folder + "/small-head", head(small));
    } else {
        for (const char *encoding : {"gram", "hybrid", "cholesky"}) {
            const files::Tensors full = blank(files::statistics(encoding, 1, 1));
            for (const bool half : {false, true}) {
                const files::Tensors tensors = half ? files::halved(full) : full;
                const std::string bytes = files::category(files::category_meta(encoding, 1, tensors, "hash"), tensors);
                files::write(folder + "/" + encoding + (half ? "-fp16" : ""), head(bytes));
            }
        }
        files::write(folder + "/small", head(small));
    }
    return 0;
}
