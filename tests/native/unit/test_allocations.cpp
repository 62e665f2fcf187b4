// No allocation in predict after warm-up: malloc and its kin are replaced and counted for the whole process, and the
// fake ONNX Runtime allocates nothing itself.
#include <regad/regad.hpp>

#include <atomic>
#include <cerrno>
#include <thread>

#include "check.hpp"
#include "files.hpp"

namespace {
std::atomic<long> allocations{0};
}

extern "C" {
void *__libc_malloc(std::size_t size);
void *__libc_calloc(std::size_t count, std::size_t size);
void *__libc_realloc(void *old, std::size_t size);
void *__libc_memalign(std::size_t alignment, std::size_t size);

void *malloc(std::size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void *calloc(std::size_t count, std::size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void *realloc(void *old, std::size_t size) {
    ++allocations;
    return __libc_realloc(old, size);
}
void *memalign(std::size_t alignment, std::size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(std::size_t alignment, std::size_t size) {
    ++allocations;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void **out, std::size_t alignment, std::size_t size) {
    ++allocations;
    *out = __libc_memalign(alignment, size);
    return *out != nullptr ? 0 : ENOMEM;
}
}

TEST(allocations_are_counted) {
    const long before = allocations;
    std::vector<int> values(1000);
    const regad::Options options;
    CHECK(allocations > before);
}

TEST(allocations_none_in_predict) {
    const files::Folder folder;
    const std::string hash = files::write_artifact(folder / "model.regad");
    regad::Options options;
    options.onnxruntime = FAKE_ORT;
    options.threads = 2;
    regad::Detector detector(folder / "model.regad", options);
    std::vector<std::uint8_t> pixels(800 * 600 * 3, 77);
    std::vector<regad::Image> images(3, regad::Image(pixels.data(), 800, 600, regad::Format::rgb));
    std::vector<regad_result> results(3);
    for (regad_result &result : results) {
        regad::check(regad_result_init(&result, sizeof result));
    }
    std::vector<float> maps(3 * REGAD_MAP_LENGTH);
    const std::pair<const char *, bool> forms[] = {{"gram", false}, {"hybrid", false}, {"gram", true}};
    for (const auto &[encoding, half] : forms) {
        files::write_category(folder / "c.safetensors", hash, encoding, 5, 1, 50.0, half);
        detector.load_category(folder / "c.safetensors");
        const auto judge = [&] {
            regad::check(regad_predict(detector.get(), images.data(), results.data(), maps.data(), maps.size()));
            regad::check(regad_predict(detector.get(), images.data(), results.data(), nullptr, 0));
            regad::check(regad_predict_batch(detector.get(), images.data(), 3, results.data(), maps.data(), maps.size()));
        };
        judge();
        judge();  // a larger batch has moved the buffers: the smaller one is bound anew, once
        const long before = allocations;
        for (int i = 0; i < 5; ++i) {
            judge();
        }
        CHECK_EQUAL(allocations.load(), before);
    }
}
