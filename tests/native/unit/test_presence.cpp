// A frame that shows no part, through the C ABI: rejected, not scored, and the frames beside it are judged as ever.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <locale>
#include <string>

#include "fixture.hpp"

namespace {

// A category that was taught with pictures like the fixture's.
struct Limited : Fixture {
    Limited() {
        const files::Tensors tensors = files::statistics("gram", 3, 1);
        files::Json meta = files::category_meta("gram", 3, tensors, hash);
        meta["threshold"]["value"] = 1e6;
        meta["limits"] = {{"brightness", {{"low", 8.0}, {"high", 240.0}, {"taught", {88.25, 140.0}}}},
                          {"contrast", {{"low", 0.01}, {"high", nullptr}, {"taught", {0.1, 18.0}}}}};
        files::write(folder / "limited.safetensors", files::category(meta, tensors));
    }
    regad::Detector load() const {
        regad::Detector detector = open();
        detector.load_category(folder / "limited.safetensors");
        return detector;
    }
};

std::vector<std::uint8_t> plain(std::uint8_t value) { return std::vector<std::uint8_t>(64 * 48 * 3, value); }

regad::Image view(const std::vector<std::uint8_t> &pixels) {
    return regad::Image(pixels.data(), 64, 48, regad::Format::rgb);
}

void check_no_part(const regad::Result &result, const std::string &detail) {
    CHECK_EQUAL(result.reason, REGAD_NO_PART);
    CHECK_EQUAL(result.anomalous, 1);
    CHECK(std::isinf(result.score) && result.score > 0);
    CHECK_EQUAL(result.threshold, 1e6);
    CHECK_EQUAL(std::string(result.detail), detail);
    CHECK(std::all_of(result.map.begin(), result.map.end(), [](float value) { return std::isinf(value); }));
    CHECK_EQUAL(result.thetas[0][0][0], 0.0F);
}

}  // namespace

TEST(presence_frames_without_a_part_are_rejected) {
    const Limited f;
    regad::Detector detector = f.load();
    check_no_part(detector.predict(view(plain(3)), true), "brightness 3, taught with 88.2 to 140");
    check_no_part(detector.predict(view(plain(255)), true), "brightness 255, taught with 88.2 to 140");
    check_no_part(detector.predict(view(plain(128)), true), "contrast 0, taught with 0.1 to 18");
    const regad::Result good = detector.predict(f.image());
    CHECK_EQUAL(good.reason, REGAD_GOOD);
    CHECK_EQUAL(good.anomalous, 0);
    CHECK_EQUAL(std::string(good.detail), "");
    detector.set_threshold(static_cast<double>(good.score) / 2);
    CHECK_EQUAL(detector.predict(f.image()).reason, REGAD_ANOMALOUS);
}

TEST(presence_of_each_image_of_a_batch) {
    Limited f;
    f.options.max_batch = 3;
    regad::Detector detector = f.load();
    const std::vector<std::uint8_t> black = plain(0);
    const std::vector<regad::Image> images = {view(black), f.image(), view(black), f.image(), f.image(),
                                              view(black), view(black), view(black)};
    const regad::Result alone = detector.predict(f.image(), true);
    const std::vector<regad::Result> batch = detector.predict_batch(images, true);
    for (std::size_t i = 0; i < images.size(); ++i) {
        if (images[i].data == black.data()) {
            check_no_part(batch[i], "brightness 0, taught with 88.2 to 140");
        } else {
            CHECK_EQUAL(batch[i].reason, REGAD_GOOD);
            CHECK_EQUAL(batch[i].score, alone.score);
            CHECK(batch[i].map == alone.map);
        }
    }
}

TEST(presence_is_said_the_same_in_every_locale) {
    const Limited f;
    regad::Detector detector = f.load();
    struct Comma : std::numpunct<char> {
        char do_decimal_point() const override { return ','; }
    };
    const std::locale before = std::locale::global(std::locale(std::locale(), new Comma));
    check_no_part(detector.predict(view(plain(3)), true), "brightness 3, taught with 88.2 to 140");
    std::locale::global(before);
}

TEST(presence_without_limits_judges_everything) {
    const Fixture f;
    regad::Detector detector = f.open();
    detector.load_category(f.folder / "a.safetensors");
    CHECK(std::isfinite(detector.predict(view(plain(0))).score));
}

TEST(presence_reasons_have_names) {
    CHECK_EQUAL(std::string(regad_reason_string(REGAD_GOOD)), "good");
    CHECK_EQUAL(std::string(regad_reason_string(REGAD_NO_PART)), "no_part");
    CHECK_EQUAL(std::string(regad_reason_string(REGAD_NOT_JUDGED)), "not_judged");
    CHECK_EQUAL(std::string(regad_reason_string(5)), "unknown");
    CHECK_EQUAL(std::string(regad_reason_string(-1)), "unknown");
    CHECK_EQUAL(regad::Result().reason, REGAD_NOT_JUDGED);
}
