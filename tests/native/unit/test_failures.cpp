// Whatever fails, nothing of an earlier call is left in the caller's buffers: a result that was "good" is not any more.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fixture.hpp"

namespace {

// The buffers of a batch of five, filled as if it had been judged good.
struct Judged {
    explicit Judged(const Fixture &f) {
        for (int i = 0; i < 5; ++i) {
            images.push_back(f.image());
            regad_result good{};
            good.struct_size = sizeof good;
            good.threshold = 50;
            good.score = 1;
            good.thetas[0][0][0] = 1;
            good.ms_total = 3;
            results.push_back(good);
        }
        maps.assign(5 * REGAD_MAP_LENGTH, 1.0F);
    }
    regad_status predict(regad_detector *detector) {
        return regad_predict_batch(detector, images.data(), images.size(), results.data(), maps.data(), maps.size());
    }
    // Every result is unjudged, and the first `floats` values of the maps are infinite.
    void check(std::size_t floats = 5 * REGAD_MAP_LENGTH) const {
        for (const regad_result &result : results) {
            CHECK_EQUAL(result.anomalous, 1);
            CHECK(std::isinf(result.score) && result.score > 0);
            CHECK_EQUAL(result.threshold, 0.0);
            CHECK_EQUAL(result.thetas[0][0][0], 0.0F);
            CHECK_EQUAL(result.ms_total, 0.0F);
            CHECK_EQUAL(result.reason, REGAD_NOT_JUDGED);
        }
        const auto end = maps.begin() + static_cast<std::ptrdiff_t>(floats);
        CHECK(std::all_of(maps.begin(), end, [](float value) { return std::isinf(value); }));
        CHECK(std::all_of(end, maps.end(), [](float value) { return value == 1.0F; }));
    }

    std::vector<regad::Image> images;
    std::vector<regad_result> results;
    std::vector<float> maps;
};

struct Loaded : Fixture {
    explicit Loaded(int max_batch = 8) {
        options.max_batch = max_batch;
        detector = std::make_unique<regad::Detector>(open());
        detector->load_category(folder / "a.safetensors");
    }
    regad_detector *get() const { return detector->get(); }
    std::unique_ptr<regad::Detector> detector;
};

}  // namespace

TEST(failures_of_the_detector_leave_no_verdict) {
    const Fixture f;
    Judged null(f);
    CHECK_EQUAL(null.predict(nullptr), REGAD_INVALID_ARGUMENT);
    null.check();
    regad::Detector detector = f.open();
    Judged empty(f);
    CHECK_EQUAL(empty.predict(detector.get()), REGAD_NO_CATEGORY);
    empty.check();
    detector.close();
    Judged closed(f);
    CHECK_EQUAL(closed.predict(detector.get()), REGAD_INVALID_ARGUMENT);
    closed.check();
}

TEST(failures_of_arguments_leave_no_verdict) {
    const Loaded f;
    Judged images(f);
    CHECK_EQUAL(regad_predict_batch(f.get(), nullptr, 5, images.results.data(), images.maps.data(), images.maps.size()),
                REGAD_INVALID_ARGUMENT);
    images.check();
    Judged short_maps(f);
    const std::size_t floats = 5 * REGAD_MAP_LENGTH - 1;
    CHECK_EQUAL(regad_predict_batch(f.get(), short_maps.images.data(), 5, short_maps.results.data(),
                                    short_maps.maps.data(), floats),
                REGAD_BUFFER_TOO_SMALL);
    short_maps.check(floats);
    Judged no_length(f);
    CHECK_EQUAL(regad_predict_batch(f.get(), no_length.images.data(), 5, no_length.results.data(),
                                    no_length.maps.data(), 0),
                REGAD_INVALID_ARGUMENT);
    no_length.check(0);
    Judged no_maps(f);
    CHECK_EQUAL(regad_predict_batch(f.get(), no_maps.images.data(), 5, no_maps.results.data(), nullptr, 7),
                REGAD_INVALID_ARGUMENT);
    no_maps.check(0);
    Judged no_results(f);
    CHECK_EQUAL(regad_predict_batch(f.get(), no_results.images.data(), 5, nullptr, no_results.maps.data(),
                                    no_results.maps.size()),
                REGAD_INVALID_ARGUMENT);
    CHECK(std::isinf(no_results.maps.front()) && std::isinf(no_results.maps.back()));
    // A negative count, cast: the first result is all that surely exists.
    Judged negative(f);
    const std::size_t before = negative.results.size();
    negative.results.resize(1);
    CHECK_EQUAL(regad_predict_batch(f.get(), negative.images.data(), static_cast<std::size_t>(-1),
                                    negative.results.data(), nullptr, 0),
                REGAD_INVALID_ARGUMENT);
    negative.check(0);
    CHECK_EQUAL(before, 5U);
    Judged none(f);
    CHECK_EQUAL(regad_predict_batch(f.get(), none.images.data(), 0, none.results.data(), nullptr, 0), REGAD_OK);
    CHECK_EQUAL(none.results[0].anomalous, 0);
}

TEST(failures_of_struct_sizes_leave_no_verdict) {
    const Loaded f;
    for (const std::size_t place : {std::size_t{0}, std::size_t{4}}) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{5}, sizeof(regad_result) + 8, SIZE_MAX}) {
            Judged results(f);
            results.results[place].struct_size = size;
            CHECK_EQUAL(results.predict(f.get()), REGAD_INVALID_ARGUMENT);
            results.check();
            CHECK_EQUAL(results.results[place].struct_size, size);  // the caller's: the next call fails the same way
            Judged images(f);
            images.images[place].struct_size = size;
            CHECK_EQUAL(images.predict(f.get()), REGAD_INVALID_ARGUMENT);
            images.check();
        }
    }
}

TEST(failures_of_images_leave_no_verdict) {
    const Loaded f;
    const auto with = [&f](std::size_t place, auto change) {
        Judged judged(f);
        change(judged.images[place]);
        const regad_status status = judged.predict(f.get());
        judged.check();
        return status;
    };
    for (const std::size_t place : {std::size_t{0}, std::size_t{4}}) {
        CHECK_EQUAL(with(place, [](regad_image &i) { i.data = nullptr; }), REGAD_INVALID_ARGUMENT);
        CHECK_EQUAL(with(place, [](regad_image &i) { i.format = -1; }), REGAD_INVALID_ARGUMENT);
        CHECK_EQUAL(with(place, [](regad_image &i) { i.width = 0; }), REGAD_INPUT_ERROR);
        CHECK_EQUAL(with(place, [](regad_image &i) { i.height = 65536; }), REGAD_INPUT_ERROR);
        CHECK_EQUAL(with(place, [](regad_image &i) { i.stride = i.width * 3 - 1; }), REGAD_INPUT_ERROR);
        CHECK_EQUAL(with(place, [](regad_image &i) { i.stride = INT64_MIN; }), REGAD_INPUT_ERROR);
    }
    files::Tensors tensors = files::statistics("gram", 3, 1);
    files::Json meta = files::category_meta("gram", 3, tensors, f.hash);
    meta["input"]["roi"] = {600, 0, 100, 100};
    files::write(f.folder / "roi.safetensors", files::category(meta, tensors));
    f.detector->load_category(f.folder / "roi.safetensors");
    CHECK_EQUAL(with(0, [](regad_image &) {}), REGAD_INPUT_ERROR);
}

TEST(failures_of_the_runtime_leave_no_verdict) {
    for (const int call : {1, 2, 3}) {  // the batch of five takes three runs of two
        const Loaded f(2);
        Judged fresh(f);
        CHECK_EQUAL(fresh.predict(f.get()), REGAD_OK);
        f.fail("RunWithBinding", call);
        Judged judged(f);
        CHECK_EQUAL(judged.predict(f.get()), REGAD_RUNTIME_ERROR);
        judged.check();
        f.fail("", 0);
        CHECK_EQUAL(judged.predict(f.get()), REGAD_OK);
        CHECK(std::isfinite(judged.results[4].score));
    }
    const Loaded f;
    f.mode(1);  // features that are not finite
    Judged judged(f);
    CHECK_EQUAL(judged.predict(f.get()), REGAD_RUNTIME_ERROR);
    judged.check();
}

TEST(failures_in_the_log_function_leave_no_verdict) {
    const Loaded f;
    struct Calls {
        regad_detector *detector;
        Judged judged;
        std::vector<regad_status> statuses;
    } calls{f.get(), Judged(f), {}};
    const auto call_back = [](void *user, regad_log_level, const char *) {
        auto &to = *static_cast<Calls *>(user);
        to.statuses = {to.judged.predict(to.detector), regad_load_category(to.detector, "/nowhere"),
                       regad_set_log(nullptr, nullptr, REGAD_LOG_INFO)};
        regad_detector_destroy(to.detector);
    };
    CHECK_EQUAL(regad_set_log(call_back, &calls, REGAD_LOG_ERROR), REGAD_OK);
    CHECK_EQUAL(regad_load_category(f.get(), "/absent\nfile"), REGAD_CATEGORY_ERROR);
    CHECK_EQUAL(regad_set_log(nullptr, nullptr, REGAD_LOG_ERROR), REGAD_OK);
    CHECK_EQUAL(calls.statuses.size(), 3U);
    for (const regad_status status : calls.statuses) {
        CHECK_EQUAL(status, REGAD_INVALID_ARGUMENT);
    }
    calls.judged.check();
    CHECK(std::strstr(regad_last_error(), "/absent file") != nullptr);  // of the call that failed; one line
    CHECK_EQUAL(calls.judged.predict(f.get()), REGAD_OK);               // and the detector is still there
}

TEST(failures_leave_no_report_and_no_description) {
    const Loaded f;
    const regad_self_test_report reproduced = {sizeof(regad_self_test_report), 0, 0, 0, 0};
    regad_self_test_report report = reproduced;
    CHECK_EQUAL(regad_self_test(nullptr, &report), REGAD_INVALID_ARGUMENT);
    CHECK(std::isinf(report.map_error) && std::isinf(report.score_error));
    report = reproduced;
    report.struct_size = 1;
    CHECK_EQUAL(regad_self_test(f.get(), &report), REGAD_INVALID_ARGUMENT);
    CHECK(std::isinf(report.features_error));
    report = reproduced;
    f.fail("RunWithBinding", 1);
    CHECK_EQUAL(regad_self_test(f.get(), &report), REGAD_RUNTIME_ERROR);
    CHECK(std::isinf(report.theta_error));
    f.fail("", 0);
    char text[16] = "{\"old\": true}";
    std::size_t length = sizeof text;
    CHECK_EQUAL(regad_describe(f.get(), text, &length), REGAD_BUFFER_TOO_SMALL);
    CHECK_EQUAL(std::string(text), "");
    text[0] = '{';
    CHECK_EQUAL(regad_describe(nullptr, text, &length), REGAD_INVALID_ARGUMENT);
    CHECK_EQUAL(std::string(text), "");
}

TEST(failures_throw_from_the_cxx_header) {
    const Fixture f;
    const regad::Result fresh;
    CHECK_EQUAL(fresh.anomalous, 1);
    CHECK(std::isinf(fresh.score));
    regad::Detector detector = f.open();
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_NO_CATEGORY);
    CHECK_EQUAL(status_of([&] { detector.predict_batch({f.image(), f.image()}, true); }), REGAD_NO_CATEGORY);
    const regad::Detector moved = std::move(detector);
    CHECK_EQUAL(status_of([&] { detector.predict(f.image()); }), REGAD_INVALID_ARGUMENT);
}

TEST(failures_have_one_line_in_whole_characters) {
    const Fixture f;
    regad::Detector detector = f.open();
    std::string path = "/";
    while (path.size() < 3000) {
        path += "ü";
    }
    CHECK_EQUAL(regad_load_category(detector.get(), path.c_str()), REGAD_CATEGORY_ERROR);
    const std::string line = regad_last_error();
    CHECK_EQUAL(line.size(), 1023U);  // "/" and 511 characters of two bytes
    CHECK_EQUAL(line.substr(1021), "ü");
    CHECK_EQUAL(regad_load_category(detector.get(), (path + "x").substr(1).c_str()), REGAD_CATEGORY_ERROR);
    CHECK_EQUAL(std::strlen(regad_last_error()), 1022U);  // not half a character
}
