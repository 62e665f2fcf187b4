// Five threads predict while another swaps the category and the threshold; run under ThreadSanitizer too.
// Alone it uses the fake runtime; $REGAD_SWAP_MODEL, $REGAD_SWAP_A, $REGAD_SWAP_B name real files, with the real
// ONNX Runtime of $REGAD_ONNXRUNTIME.
#include <regad/regad.hpp>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "check.hpp"
#include "files.hpp"

namespace {

std::string from(const char *variable, const std::string &other) {
    const char *value = std::getenv(variable);
    return value != nullptr ? value : other;
}

}  // namespace

TEST(swap_while_predicting) {
    const files::Folder folder;
    const std::string model = from("REGAD_SWAP_MODEL", folder / "model.regad");
    const std::string a = from("REGAD_SWAP_A", folder / "a.safetensors");
    const std::string b = from("REGAD_SWAP_B", folder / "b.safetensors");
    const bool real = std::getenv("REGAD_SWAP_MODEL") != nullptr;
    if (!real) {
        const std::string hash = files::write_artifact(model);
        files::write_category(a, hash, "gram", 2, 1, 50.0);
        files::write_category(b, hash, "hybrid", 3, 2, 60.0);
    }
    regad::Options options;
    options.threads = 2;
    options.concurrency = 3;  // fewer than the threads: two make a workspace of their own
    options.onnxruntime = real ? "" : FAKE_ORT;
    regad::Detector detector(model, options);
    std::vector<std::uint8_t> pixels(320 * 240 * 3);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = static_cast<std::uint8_t>(i * 13 + i / 777);
    }
    const regad::Image image(pixels.data(), 320, 240, regad::Format::bgr);
    detector.load_category(b);
    const float score_b = detector.predict(image).score;
    detector.load_category(a);
    const float score_a = detector.predict(image).score;
    CHECK(std::fabs(score_a - score_b) > 1e-3F * score_a);

    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, judged{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 5; ++t) {
        threads.emplace_back([&, t] {
            while (!stop) {
                const bool batch = t % 4 == 3;
                const std::vector<regad::Result> results =
                    batch ? detector.predict_batch({image, image}) : std::vector<regad::Result>{detector.predict(image)};
                for (const regad::Result &result : results) {
                    const float near_a = std::fabs(result.score - score_a), near_b = std::fabs(result.score - score_b);
                    if (std::min(near_a, near_b) > 1e-4F * score_a || result.score != results[0].score) {
                        ++wrong;
                    }
                    ++judged;
                }
            }
        });
    }
    for (int swap = 0; swap < 6 || judged < 100; ++swap) {
        detector.load_category(swap % 2 == 0 ? b : a);
        detector.set_threshold(40.0 + swap);
        static_cast<void>(detector.describe());
        CHECK_EQUAL(regad_load_category(detector.get(), "/nowhere"), REGAD_CATEGORY_ERROR);
    }
    stop = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK_EQUAL(wrong.load(), 0);
}
