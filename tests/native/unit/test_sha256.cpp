#include <string>

#include "check.hpp"
#include "formats/sha256.hpp"

namespace {

std::string hash(const std::string &text, bool portable, std::size_t step) {
    regad::Sha256 digest(portable);
    for (std::size_t at = 0; at < text.size(); at += step) {
        digest.update(text.data() + at, std::min(step, text.size() - at));
    }
    return digest.hex();
}

}  // namespace

// NIST: FIPS 180-4 examples and the Secure Hashing additional vectors.
TEST(sha256_nist_vectors) {
    const std::pair<std::string, const char *> vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
        {std::string(55, '\0'), "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {std::string(56, '\0'), "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {std::string(64, '\0'), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"}};
    for (const auto &[text, expected] : vectors) {
        for (const bool portable : {true, false}) {
            CHECK_EQUAL(hash(text, portable, text.size() + 1), expected);
            CHECK_EQUAL(hash(text, portable, 7), expected);
        }
    }
}

TEST(sha256_both_ways_agree) {
    std::string text;
    for (int i = 0; i < 1000; ++i) {
        text.push_back(static_cast<char>(i * 37 + i / 7));
        CHECK_EQUAL(hash(text, true, 64), hash(text, false, 100));
    }
}
