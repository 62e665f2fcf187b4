// The end of a detector: at any time, from any thread, more than once. Run under ThreadSanitizer too.
#include <atomic>
#include <cmath>
#include <thread>

#include "fixture.hpp"

TEST(lifecycle_a_destroyed_detector_is_refused_everywhere) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    regad_detector *const copy = detector.get();
    regad_detector_destroy(copy);
    regad_detector_destroy(copy);
    regad_detector_destroy(nullptr);
    const regad::Image image = f.image();
    regad::Result result;
    result.anomalous = 0;
    CHECK_EQUAL(regad_predict(copy, &image, &result, nullptr, 0), REGAD_INVALID_ARGUMENT);
    CHECK(std::strstr(regad_last_error(), "destroyed") != nullptr);
    CHECK_EQUAL(result.anomalous, 1);
    CHECK_EQUAL(regad_load_category(copy, (f.folder / "a.safetensors").c_str()), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_set_threshold(copy, 1.0), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(regad_self_test(copy, nullptr), REGAD_INVALID_ARGUMENT);
    std::size_t length = 0;
    CHECK_EQUAL(regad_describe(copy, nullptr, &length), REGAD_INVALID_ARGUMENT);
    // A handle that points into memory of the caller's is refused as well, and not looked into.
    CHECK_EQUAL(regad_set_threshold(reinterpret_cast<regad_detector *>(&result), 1.0), REGAD_INVALID_ARGUMENT);
}

TEST(lifecycle_a_handle_is_not_given_out_again) {
    const Fixture f;
    regad_detector *old = nullptr;
    for (int i = 0; i < 8; ++i) {
        regad::Detector next = f.open();
        next.load_category(f.folder / "a.safetensors");
        CHECK(next.get() != old);
        const regad::Image image = f.image();
        regad::Result result;
        CHECK_EQUAL(regad_predict(old, &image, &result, nullptr, 0), REGAD_INVALID_ARGUMENT);
        regad_detector_destroy(old);
        CHECK_EQUAL(regad_predict(next.get(), &image, &result, nullptr, 0), REGAD_OK);
        old = next.get();
    }
}

TEST(lifecycle_destroy_waits_for_the_prediction_under_way) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    const float expected = detector.predict(f.image()).score;
    f.hold(1);
    regad::Result result;
    std::thread predicting([&] { result = detector.predict(f.image()); });
    f.wait_held(1);
    std::atomic<bool> destroyed{false};
    std::thread destroying([&] {
        detector.close();
        destroyed = true;
    });
    while (regad_set_threshold(detector.get(), 1.0) == REGAD_OK) {  // until the other thread is there
        std::this_thread::yield();
    }
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_INVALID_ARGUMENT);
    detector.close();  // the second does not wait, and does not free what is in use
    CHECK(!destroyed);
    f.hold(0);
    predicting.join();
    destroying.join();
    CHECK(destroyed);
    CHECK_EQUAL(result.score, expected);
}

TEST(lifecycle_destroy_while_threads_predict_load_and_describe) {
    const Fixture f;
    const std::string other = f.folder / "other.safetensors";
    files::write_category(other, f.hash, "gram", 2, 2, 60.0);
    for (int round = 0; round < 6; ++round) {
        regad::Detector detector = f.open();
        detector.load_category(f.folder / "a.safetensors");
        const regad::Image image = f.image();
        std::atomic<int> judged{0}, wrong{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                regad_status status = REGAD_OK;
                while (status == REGAD_OK) {
                    regad::Result result;
                    result.anomalous = 0;
                    status = regad_predict(detector.get(), &image, &result, nullptr, 0);
                    const bool right = status == REGAD_OK ? std::isfinite(result.score) : result.anomalous == 1;
                    wrong += right ? 0 : 1;
                    ++judged;
                }
                wrong += status == REGAD_INVALID_ARGUMENT ? 0 : 1;
                if (t == 0) {  // closing twice, at the same time as others
                    detector.close();
                }
            });
        }
        threads.emplace_back([&] {
            regad_status status = REGAD_OK;
            while (status == REGAD_OK) {
                status = regad_load_category(detector.get(), other.c_str());
                std::size_t length = 0;
                static_cast<void>(regad_describe(detector.get(), nullptr, &length));
            }
            wrong += status == REGAD_INVALID_ARGUMENT ? 0 : 1;
        });
        while (judged < 8) {
            std::this_thread::yield();
        }
        detector.close();
        for (std::thread &thread : threads) {
            thread.join();
        }
        CHECK_EQUAL(wrong.load(), 0);
    }
}

TEST(lifecycle_detectors_end_independently) {
    const Fixture f;
    regad::Detector first = f.open(), second = f.open();
    second.load_category(f.folder / "a.safetensors");
    const float expected = second.predict(f.image()).score;
    f.hold(1);
    regad::Result result;
    std::thread predicting([&] { result = second.predict(f.image()); });
    f.wait_held(1);
    first.close();  // does not wait for the other
    f.hold(0);
    predicting.join();
    CHECK_EQUAL(result.score, expected);
}
