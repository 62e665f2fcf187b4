// No allocation in predict after warm-up: malloc and its kin are replaced and counted for the whole process, and the
// fake ONNX Runtime allocates nothing itself.
#include <regad/regad.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "check.hpp"
#include "files.hpp"

namespace {
std::atomic<long> allocations{0};
std::atomic<long> left{-1};  // allocations until all fail; below 0: none fails
std::atomic<std::size_t> smallest{0};  // that counts for `left`, bytes

bool refused(std::size_t size) {
    ++allocations;
    if (size < smallest) {
        return false;
    }
    long now = left;
    while (now > 0 && !left.compare_exchange_weak(now, now - 1)) {
    }
    return now == 0;
}
}  // namespace

extern "C" {
void *__libc_malloc(std::size_t size);
void *__libc_calloc(std::size_t count, std::size_t size);
void *__libc_realloc(void *old, std::size_t size);
void *__libc_memalign(std::size_t alignment, std::size_t size);

void *malloc(std::size_t size) {
    return refused(size) ? nullptr : __libc_malloc(size);
}
void *calloc(std::size_t count, std::size_t size) {
    return refused(count * size) ? nullptr : __libc_calloc(count, size);
}
void *realloc(void *old, std::size_t size) {
    return refused(size) ? nullptr : __libc_realloc(old, size);
}
void *memalign(std::size_t alignment, std::size_t size) {
    return refused(size) ? nullptr : __libc_memalign(alignment, size);
}
void *aligned_alloc(std::size_t alignment, std::size_t size) {
    return refused(size) ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void **out, std::size_t alignment, std::size_t size) {
    *out = refused(size) ? nullptr : __libc_memalign(alignment, size);
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

// Every allocation in turn fails, and all after it: an error, nothing stale, and a detector as before.
TEST(allocations_that_fail_leave_no_verdict) {
    const files::Folder folder;
    const std::string hash = files::write_artifact(folder / "model.regad");
    files::write_category(folder / "a.safetensors", hash, "gram", 3, 1, 50.0);
    files::write_category(folder / "b.safetensors", hash, "gram", 12, 2, 60.0);
    const std::string other = folder / "b.safetensors";
    regad::Options options;
    options.onnxruntime = FAKE_ORT;
    options.threads = 2;
    options.concurrency = 1;
    std::vector<std::uint8_t> pixels(800 * 600 * 3, 77);
    std::vector<regad::Image> images(3, regad::Image(pixels.data(), 800, 600, regad::Format::rgb));
    // Readers meet it only where they take much: nlohmann's JSON needs a little memory to give its memory back.
    constexpr std::size_t buffer = 2048;
    regad_status status = REGAD_INTERNAL_ERROR;
    long needed = 0;
    for (; status != REGAD_OK; ++needed) {
        CHECK(needed < 1000);
        regad::Detector detector(folder / "model.regad", options);
        detector.load_category(folder / "a.safetensors");
        const float expected = detector.predict(images[0]).score;
        std::vector<regad_result> results(3, regad::Result());
        std::for_each(results.begin(), results.end(), [](regad_result &result) { result.anomalous = 0; });
        left = needed;
        status = regad_predict_batch(detector.get(), images.data(), 3, results.data(), nullptr, 0);
        left = -1;
        for (const regad_result &result : results) {
            CHECK(status == REGAD_OK ? result.score == expected : result.anomalous == 1);
        }
        CHECK_EQUAL(detector.predict_batch(images)[2].score, expected);
        smallest = buffer;
        left = needed;
        const regad_status loaded = regad_load_category(detector.get(), other.c_str());
        left = -1;
        smallest = 0;
        const regad::Result after = detector.predict(images[0]);
        CHECK_EQUAL(after.threshold, loaded == REGAD_OK ? 60.0 : 50.0);
        CHECK(loaded == REGAD_OK || after.score == expected);
    }
    CHECK(needed > 10);
    const std::string model = folder / "model.regad";
    regad_detector *made = nullptr;
    regad_options raw;
    regad::check(regad_options_init(&raw, sizeof raw));
    raw.onnxruntime = FAKE_ORT;
    raw.threads = 1;
    status = REGAD_INTERNAL_ERROR;
    smallest = buffer;
    for (needed = 0; status != REGAD_OK; ++needed) {
        CHECK(needed < 1000);
        left = needed;
        status = regad_detector_create(model.c_str(), &raw, &made);
        left = -1;
        CHECK_EQUAL(made != nullptr, status == REGAD_OK);
    }
    smallest = 0;
    CHECK(needed > 10);
    regad_detector_destroy(made);
}
