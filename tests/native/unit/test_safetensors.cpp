#include "formats/safetensors.hpp"

#include "check.hpp"
#include "files.hpp"

namespace {

regad::SafetensorsHeader parse(const std::string &bytes) {
    // A copy of exactly this size on the heap, so that AddressSanitizer sees a read past it.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    return regad::read_safetensors_header(*regad::open_memory(exact.data(), exact.size()));
}

std::string with_header(const std::string &header, std::size_t data) {
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size() & 255U);
    file[1] = static_cast<char>(header.size() >> 8U);
    return file + header + std::string(data, '\0');
}

}  // namespace

TEST(safetensors_reads_what_was_written) {
    const std::string bytes =
        files::safetensors({{"a", files::floats({2, 3}, 1, 1)}, {"b", {"U8", {4}, "wxyz"}}}, {{"k", "v"}});
    const regad::SafetensorsHeader header = parse(bytes);
    CHECK_EQUAL(header.metadata.at("k"), "v");
    CHECK_EQUAL(header.expect("a", "F32", {2, 3}).bytes, 24U);
    CHECK_EQUAL(bytes.substr(static_cast<std::size_t>(header.tensors.at("b").offset)), "wxyz");
    CHECK_THROWS(header.expect("a", "F32", {3, 2}), "expected F32 [3, 2]");
    CHECK_THROWS(header.expect("c", "F32", {1}), "'c' is missing");
}

TEST(safetensors_refuses_every_truncation) {
    const std::string bytes = files::safetensors({{"a", files::floats({2, 3}, 1, 1)}}, {{"k", "v"}});
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        bool refused = false;
        try {
            parse(bytes.substr(0, size));
        } catch (const std::exception &) {
            refused = true;
        }
        CHECK(refused);
    }
    CHECK_THROWS(parse(bytes + "x"), "after its last tensor");
}

TEST(safetensors_refuses_malformed_headers) {
    const char *entry = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    CHECK_EQUAL(parse(with_header(entry, 4)).tensors.size(), 1U);
    CHECK_THROWS(parse(with_header(entry, 3)), "does not lie within");
    CHECK_THROWS(parse(with_header(entry, 5)), "after its last tensor");
    CHECK_THROWS(parse(with_header("[]", 0)), "does not begin with");
    CHECK_THROWS(parse(with_header("{\"a\":", 0)), "not valid JSON");
    CHECK_THROWS(parse(with_header(R"({"a":3})", 0)), "'dtype'");
    CHECK_THROWS(parse(with_header(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4)), "unknown dtype");
    CHECK_THROWS(parse(with_header(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4)), "whole number");
    CHECK_THROWS(parse(with_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4)), "does not lie");
    CHECK_THROWS(
        parse(with_header(R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4)),
        "larger than any file");
    CHECK_THROWS(parse(with_header(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3)), "overlap");
    CHECK_THROWS(parse(with_header(R"({"__metadata__":{"k":1}})", 0)), "not a string");
    CHECK_THROWS(parse(with_header(R"({"__metadata__":[]})", 0)), "not an object");
    CHECK_THROWS(parse(std::string(8, '\xff') + "{}"), "header would have");
}
