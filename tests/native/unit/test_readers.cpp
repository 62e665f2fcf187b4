// The readers of the artifact's and the category's files, on good and on damaged bytes.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "formats/artifact.hpp"
#include "formats/category.hpp"
#include "check.hpp"
#include "core/error.hpp"
#include "files.hpp"

namespace {

regad::Category read(const std::string &bytes) {
    return regad::Category::read(*regad::open_memory(bytes.data(), bytes.size()));
}

files::Tensors small() { return files::statistics("gram", 1, 5); }

files::Json limit_json(const files::Json &low, const files::Json &high, const files::Json &first,
                       const files::Json &last) {
    return {{"low", low}, {"high", high}, {"taught", {first, last}}};
}

std::string changed(const char *pointer, const files::Json &value) {
    const files::Tensors tensors = small();
    files::Json meta = files::category_meta("gram", 1, tensors, "hash");
    meta[files::Json::json_pointer(pointer)] = value;
    return files::category(meta, tensors);
}

std::string manifest_with(const char *pointer, const files::Json &value) {
    files::Json json = files::manifest({{"encoder.onnx", "x"}, {"golden.safetensors", "y"}});
    json[files::Json::json_pointer(pointer)] = value;
    return json.dump();
}

}  // namespace

TEST(category_reads_what_was_written) {
    for (const char *encoding : {"gram", "hybrid"}) {  // cholesky has half a gigabyte; test_scorer uses it
        const files::Tensors tensors = files::statistics(encoding, 3, 1);
        const std::string bytes = files::category(files::category_meta(encoding, 3, tensors, "hash"), tensors);
        const regad::Category category = read(bytes);
        CHECK_EQUAL(regad::name(category.statistics[0].encoding), std::string(encoding));
        CHECK_EQUAL(category.threshold, 20.0);
        CHECK_EQUAL(category.statistics[0].tensors.size(), tensors.size());
        CHECK(category.statistics[0].halves.empty());
        const regad::Buffer<float> &mean = category.statistics[0].tensors.at("mean1");
        CHECK(std::memcmp(mean.data(), tensors.at("mean1").bytes.data(), mean.size() * sizeof(float)) == 0);
    }
}

TEST(category_reads_fp16) {
    for (const char *encoding : {"gram", "hybrid"}) {
        const files::Tensors tensors = files::halved(files::statistics(encoding, 3, 1));
        const std::string bytes = files::category(files::category_meta(encoding, 3, tensors, "hash"), tensors);
        const regad::Category category = read(bytes);
        CHECK(category.dtype == regad::Dtype::fp16);
        CHECK(category.statistics[0].dtype() == regad::Dtype::fp16);
        CHECK_EQUAL(category.statistics[0].tensors.size(), 3U);
        CHECK_EQUAL(category.statistics[0].halves.size(), tensors.size() - 3);
        const auto &stored = category.statistics[0].halves.at("x2");
        CHECK(std::memcmp(stored.data(), tensors.at("x2").bytes.data(), stored.size() * 2) == 0);
        CHECK(category.statistics[0].tensors.count("x2") == 0 && category.statistics[0].halves.count("mean2") == 0);
    }
    files::Tensors tensors = files::halved(small());
    constexpr std::uint16_t not_finite[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
    for (const std::uint16_t bad : not_finite) {
        std::memcpy(tensors.at("l_packed").bytes.data() + 200, &bad, sizeof bad);
        CHECK_THROWS(read(files::category(files::category_meta("gram", 1, tensors, "hash"), tensors)), "not finite");
    }
    tensors = files::halved(small());
    files::Json meta = files::category_meta("gram", 1, tensors, "hash");
    meta["dtype"] = "fp32";
    CHECK_THROWS(read(files::category(meta, tensors)), "expected F32");
    tensors["mean1"] = files::halved({{"x1", tensors.at("mean1")}}).at("x1");
    CHECK_THROWS(read(files::category(files::category_meta("gram", 1, tensors, "hash"), tensors)), "expected F32");
}

// A registered category with one thing of it changed.
std::string registered(const char *pointer = nullptr, const files::Json &value = {}, const char *tensor = nullptr,
                       const files::Tensor &other = {}) {
    files::Tensors tensors = small();
    tensors["template"] = files::floats({256, 256}, 7, 1);
    tensors["reference"] = {"U8", {224, 224, 3}, std::string(224 * 224 * 3, '\x40')};
    tensors["structure"] = {"F32", {56, 56}, std::string(56 * 56 * 4, '\0')};
    if (tensor != nullptr) {
        tensors[tensor] = other;
    }
    files::Json meta = files::category_meta("gram", 1, tensors, "hash");
    meta["requires"] = {"registration"};
    meta["registration"] = {{"weights", {0.25, 0.5, 0.25}}, {"region", {32.0, 32.0, 224.0, 200.0}},
                            {"box", {640, 480}}, {"centre", {120.0, 130.0}},
                            {"quality", {{"low", 0.6}, {"taught", {0.9, 0.95}}}},
                            {"shown", {{"low", 0.6}, {"taught", {0.98, 1.0}}}}};
    if (pointer != nullptr) {
        meta[files::Json::json_pointer(pointer)] = value;
    }
    return files::category(meta, tensors);
}

TEST(category_reads_a_registration) {
    const regad::Category category = read(registered());
    CHECK(category.registration.has_value());
    const regad::RegistrationSpec &spec = *category.registration;
    CHECK_EQUAL(spec.box_width, 640);
    CHECK_EQUAL(spec.width(), 192.0);
    CHECK_EQUAL(spec.height(), 144.0);
    CHECK_EQUAL(spec.quality.taught_low, 0.9);
    CHECK_EQUAL(spec.grey.size(), 65536U);
    CHECK_EQUAL(static_cast<int>(spec.reference[5]), 0x40);
}

TEST(category_refuses_a_registration_that_makes_no_sense) {
    CHECK_THROWS(read(registered("/registration/region", {10, 0, 5, 9})), "contradicts itself");
    CHECK_THROWS(read(registered("/registration/region", {250, 250, 256, 256})), "contradicts itself");
    CHECK_THROWS(read(registered("/registration/weights", {1e30, 0, 0})), "too large");
    CHECK_THROWS(read(registered("/registration/region", {0, 0, 5})), "not 4 finite numbers");
    CHECK_THROWS(read(registered("/registration/box", {0, 10})), "contradicts itself");
    CHECK_THROWS(read(registered("/registration/box", {1e300, 10})), "contradicts itself");
    CHECK_THROWS(read(registered("/registration/weights", "red")), "not 3 finite numbers");
    CHECK_THROWS(read(registered("/registration/quality/low", 0.99)), "not in order");
    CHECK_THROWS(read(registered("/registration/shown", 1)), "not an object");
    CHECK_THROWS(read(registered("/registration", nullptr)), "do not agree");
    CHECK_THROWS(read(registered("/requires", {"registration", "flight"})), "requires flight");
    CHECK_THROWS(read(registered(nullptr, {}, "template", files::floats({64, 64}, 1, 1))), "template");
    CHECK_THROWS(read(registered(nullptr, {}, "reference", files::floats({224, 224, 3}, 1, 1))), "expected U8");
    files::Tensor below = files::floats({56, 56}, 1, 1);
    const float minus = -1;
    std::memcpy(below.bytes.data(), &minus, sizeof minus);
    CHECK_THROWS(read(registered(nullptr, {}, "structure", below)), "below 0");
}

TEST(category_refuses_what_does_not_fit) {
    CHECK_THROWS(read(changed("/dtype", "fp16")), "expected F16");
    CHECK_THROWS(read(changed("/dtype", "bf16")), "expected fp32 or fp16");
    CHECK_THROWS(read(changed("/epsilon", 0.02)), "epsilon");
    CHECK_THROWS(read(changed("/encoding", "dense")), "expected gram");
    CHECK_THROWS(read(changed("/rank", 2)), "views");
    CHECK_THROWS(read(changed("/rank", 1000000000000)), "rank");
    CHECK_THROWS(read(changed("/data_sha256", "00")), "do not match their sha256");
    CHECK_THROWS(read(changed("/threshold/value", 0)), "threshold");
    CHECK_THROWS(read(changed("/threshold/value", "high")), "finite number");
    CHECK_EQUAL(read(changed("/threshold/warn", 12.5)).warn_threshold, 12.5);
    CHECK_THROWS(read(changed("/threshold/warn", 20.0)), "warn limit is not above 0 and below");
    CHECK_THROWS(read(changed("/threshold/warn", -1)), "warn limit");
    CHECK_THROWS(read(changed("/threshold/prior", {{"delta", 0}, {"tau", 1}})), "'sigma' is missing");
    CHECK_THROWS(read(changed("/input/fit", "squeeze")), "squeeze");
    CHECK_THROWS(read(changed("/input/resample", "cubic")), "cubic");
    CHECK_THROWS(read(changed("/input/size", 256)), "224");
    CHECK_THROWS(read(changed("/input/roi", {0, 0, 0, 4})), "roi");
    CHECK_THROWS(read(changed("/input/std", {1.0, 0.0, 1.0})), "std");
    CHECK_THROWS(read(changed("/requires", {"telepathy"})), "requires telepathy, which this version does not provide");
    CHECK_THROWS(read(changed("/requires", {7})), "not a list of names");
    CHECK_THROWS(read(changed("/requires", "telepathy")), "not a list of names");
    CHECK_THROWS(read(changed("/scoring/score", "median")), "scores by 'median'");
    CHECK_THROWS(read(changed("/scoring/map", "blue")), "update regad");
    CHECK_THROWS(read(changed("/scoring/share", 0.02)), "its scoring has share, which this version does not know");
    CHECK_THROWS(read(changed("/scoring/levels", {"f1", "f3"})), "levels of its scoring");
    CHECK_THROWS(read(changed("/scoring/levels", "f3")), "levels of its scoring");
    CHECK_THROWS(read(changed("/scoring/cells", 3)), "does not hold together");
    CHECK_THROWS(read(changed("/scoring/score", "top")), "does not hold together");
    CHECK_THROWS(read(changed("/scoring/map", "product")), "does not hold together");
    CHECK_THROWS(read(changed("/scoring/map_gain", 2.0)), "does not hold together");
    CHECK_THROWS(read(changed("/scoring/calibration", {{"a", 1.0}})), "does not hold together");
    CHECK_THROWS(read(changed("/scoring/calibration", {{"a", -1.0}})), "out of range");
    CHECK_THROWS(read(changed("/scoring/calibration", {{"a", "high"}})), "finite number");
    CHECK_THROWS(read(changed("/scoring/calibration", {{"a", 1.0}, {"sigma", 2.0}})), "update regad");
    CHECK_THROWS(read(changed("/encoding", "gram+gram")), "more than its scoring has groups");
    CHECK_THROWS(read(changed("/registration", {{"angle", 1}})), "do not agree");
    CHECK_THROWS(read(changed("/requires", {"registration"})), "do not agree");
    CHECK_THROWS(read(changed("/limits", 1)), "limits");
    CHECK_THROWS(read(changed("/limits/glare", limit_json(0, 1, 2, 3))), "glare, which this version does not measure");
    CHECK_THROWS(read(changed("/limits/detail", limit_json(2, 1, 3, 4))), "in order");
    CHECK_THROWS(read(changed("/limits/detail", limit_json(0, 1, nullptr, 4))), "two numbers");
    for (const char *version : {"1", "2"}) {
        CHECK_THROWS(read(files::safetensors(small(), {{"format", "regad-category"}, {"version", version}})),
                     "teach the part again");
    }
    CHECK_THROWS(read(files::safetensors(small(), {{"format", "something"}})), "not a category file");
    CHECK_THROWS(read(files::safetensors(small(), {})), "'format'");
}

TEST(category_refuses_values_that_are_not_finite) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        files::Tensors tensors = small();
        std::memcpy(tensors.at("x2").bytes.data() + 400, &bad, sizeof bad);
        CHECK_THROWS(read(files::category(files::category_meta("gram", 1, tensors, "hash"), tensors)), "not finite");
    }
}

TEST(category_refuses_missing_tensors) {
    files::Tensors tensors = small();
    tensors.erase("mean2");
    CHECK_THROWS(read(files::category(files::category_meta("gram", 1, tensors, "hash"), tensors)),
                 "tensor 'mean2' is missing");
}

TEST(category_passes_over_what_a_later_one_may_add_but_hashes_it) {
    files::Tensors tensors = small();
    tensors["expected"] = files::floats({56, 56}, 1, 1);
    tensors["more"] = files::floats({3}, 1, 1);
    files::Json meta = files::category_meta("gram", 1, tensors, "hash");
    meta["later"] = {{"a", 1}};
    const regad::Category category = read(files::category(meta, tensors));
    CHECK_EQUAL(category.statistics[0].tensors.size(), small().size());
    tensors["more"].bytes[5] ^= 1;
    CHECK_THROWS(read(files::category(meta, tensors)), "do not match their sha256");
}

namespace {

// f2 in the cholesky form and f3 in the gram form, with a calibration.
files::Tensors of_groups() {
    files::Tensors tensors = files::statistics("cholesky", 1, 1, 2);
    tensors.merge(files::statistics("gram", 1, 1, 3));
    tensors["scale"] = files::floats({14, 14}, 5, 0.5F);
    tensors["norms"] = files::floats({2}, 5, 0.5F);
    for (const char *name : {"scale", "norms"}) {
        auto *values = reinterpret_cast<float *>(tensors.at(name).bytes.data());
        std::transform(values, values + tensors.at(name).bytes.size() / sizeof(float), values,
                       [](float value) { return value + 1; });
    }
    return tensors;
}

files::Json of_groups_meta(const files::Tensors &tensors) {
    files::Json meta = files::category_meta("cholesky+gram", 1, tensors, "hash");
    const files::Json groups = files::Json::array({files::Json::array({"f2"}), files::Json::array({"f3"})});
    meta["scoring"] = {{"score", "top"}, {"cells", 9}, {"levels", groups},
                       {"map", "product"}, {"map_gain", 0.5}, {"calibration", {{"a", 4}}}};
    return meta;
}

}  // namespace

TEST(category_reads_groups_and_their_calibration) {
    files::Tensors tensors = of_groups();
    const files::Json meta = of_groups_meta(tensors);
    const regad::Category category = read(files::category(meta, tensors));
    CHECK(category.scoring.groups == (regad::Groups{2, 3}));
    CHECK_EQUAL(regad::form_name(category.statistics), "cholesky_f2_gram_f3");
    CHECK_EQUAL(category.statistics[0].tensors.size(), 2U);
    CHECK_EQUAL(category.statistics[1].tensors.size(), 3U);
    CHECK_EQUAL(category.scoring.cells, 9U);
    auto *scale = reinterpret_cast<float *>(tensors.at("scale").bytes.data());
    const auto *norms = reinterpret_cast<const float *>(tensors.at("norms").bytes.data());
    CHECK_EQUAL(category.scoring.scale[7], scale[7]);
    const double product = static_cast<double>(norms[0]) * static_cast<double>(norms[1]);
    CHECK_EQUAL(category.scoring.map_gain, static_cast<float>(0.5 / std::sqrt(product)));
    const files::Tensors half = files::halved(tensors);
    CHECK_EQUAL(half.at("scale").dtype, "F32");
    const regad::Category stored = read(files::category(of_groups_meta(half), half));
    CHECK(stored.statistics[1].dtype() == regad::Dtype::fp16 && stored.statistics[0].dtype() == regad::Dtype::fp16);
    for (const float bad : {0.0F, -1.0F, NAN, INFINITY}) {
        scale[3] = bad;
        CHECK_THROWS(read(files::category(of_groups_meta(tensors), tensors)), "tensor 'scale' holds values that are not");
    }
}

TEST(category_refuses_groups_that_do_not_fit) {
    files::Tensors tensors = of_groups();
    const auto refuses = [&tensors](const char *key, const files::Json &value, const char *complaint) {
        files::Json meta = of_groups_meta(tensors);
        meta[files::Json::json_pointer(key)] = value;
        CHECK_THROWS(read(files::category(meta, tensors)), complaint);
    };
    refuses("/encoding", "cholesky", "expected gram, hybrid or cholesky");
    refuses("/encoding", "gram+gram", "'x2_packed' is missing");
    refuses("/encoding", "hybrid+gram", "hybrid statistics do not begin");
    refuses("/encoding", "cholesky+gram+gram", "more than its scoring has groups");
    refuses("/scoring/calibration", nullptr, "does not hold together");
    refuses("/scoring/score", "max", "does not hold together");
    refuses("/scoring/cells", 197, "does not hold together");
    refuses("/scoring/map", "raw", "does not hold together");
    files::Tensors plain = small();
    plain["scale"] = tensors.at("scale");
    plain["norms"] = tensors.at("norms");
    CHECK_THROWS(read(files::category(files::category_meta("gram", 1, plain, "hash"), plain)), "its scoring has none");
    tensors.erase("norms");
    refuses("/encoding", "cholesky+gram", "tensor 'norms' is missing");
    tensors["scale"] = files::floats({14, 13}, 5, 0.5F);
    refuses("/encoding", "cholesky+gram", "scale");
}

TEST(category_reads_limits) {
    const regad::Category none = read(files::category(files::category_meta("gram", 1, small(), "hash"), small()));
    CHECK_EQUAL(regad::first_broken({0, 0, 0, 0}, none.limits), regad::measure_count);
    const regad::Category category = read(changed("/limits", {{"contrast", limit_json(2, nullptr, 16, 18)},
                                                              {"brightness", limit_json(5, 240, 88, 140)}}));
    CHECK_EQUAL(regad::first_broken({4.9, 0, 0, 0}, category.limits), 0U);
    CHECK_EQUAL(regad::first_broken({240.1, 9, 0, 0}, category.limits), 0U);
    CHECK_EQUAL(regad::first_broken({5, 1.9, 0, 0}, category.limits), 1U);
    CHECK_EQUAL(regad::first_broken({240, 1e9, 0, 0}, category.limits), regad::measure_count);
    CHECK_EQUAL(category.limits[0].taught_high, 140.0);
}

TEST(manifest_refuses_what_does_not_fit) {
    CHECK_EQUAL(regad::Manifest::parse(manifest_with("/version", 2)).hash.size(), 64U);
    CHECK_THROWS(regad::Manifest::parse("{"), "not valid JSON");
    CHECK_THROWS(regad::Manifest::parse("[]"), "not an object");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/format", "other")), "not the manifest");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/version", 7)), "version 7");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/version", 1)), "export it again with regad-export");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/requires", {"prior"})), "requires prior");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/scoring/levels", {"f2", "f1"})), "scoring");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/epsilon", 0.1)), "another encoder");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/features/0/grid", 64)), "another encoder");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/features/0/mean", 0)), "another encoder");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/features", 3)), "'features' is not a list");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/features", {"f1"})), "another encoder");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/features/2/gain", 3)), "'exponent' is missing");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/scorers/gram", "absent.onnx")), "not in 'files'");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/files/encoder.onnx/sha256", "zz")), "malformed");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/files/..", {{"sha256", std::string(64, '0')}, {"bytes", 1}})),
                 "malformed");
}

TEST(manifest_reads_a_feature_normalization) {
    files::Json json = files::manifest({{"encoder.onnx", "x"}, {"golden.safetensors", "y"}});
    const std::string hash = regad::Manifest::parse(json.dump()).hash;
    json["features"][2]["exponent"] = 0.5;
    json["features"][2]["gain"] = 12.649110640673518;
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).hash, hash);  // what it does is in the encoder's own sha256
    for (const auto &[key, value] : {std::pair{"exponent", -0.5}, std::pair{"exponent", 1.5}, std::pair{"gain", 0.0}}) {
        files::Json other = json;
        other["features"][2][key] = value;
        CHECK_THROWS(regad::Manifest::parse(other.dump()), "exponent is outside 0 to 1, or its gain not above 0");
    }
    json["features"][2]["gain"] = nullptr;
    CHECK_THROWS(regad::Manifest::parse(json.dump()), "'gain' is not a finite number");
}

TEST(manifest_allows_what_its_dtypes_allow) {
    files::Json json = files::manifest({{"encoder.onnx", "x"}, {"golden.safetensors", "y"}});
    CHECK(regad::Manifest::parse(json.dump()).statistics_dtype == regad::Dtype::fp32);
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).tolerance("anomaly_map"), 1e-3);
    json["statistics_dtype"] = "fp16";
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).tolerance("anomaly_map"), 1e-2);
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).tolerance("f2"), 1e-3);
    json["dtype"] = "int8";
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).tolerance("anomaly_score"), 2e-1);
    CHECK_EQUAL(regad::Manifest::parse(json.dump()).tolerance("theta"), 5e-2);
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/dtype", "fp8")), "fp8");
    CHECK_THROWS(regad::Manifest::parse(manifest_with("/statistics_dtype", "int8")), "expected fp32 or fp16");
}

TEST(golden_reads_and_refuses) {
    const std::string bytes = files::golden();
    const regad::Golden golden = regad::Golden::read(*regad::open_memory(bytes.data(), bytes.size()));
    CHECK_EQUAL(golden.count, 1U);
    CHECK_EQUAL(golden.rank, 2U);
    for (const auto &[version, complaint] : {std::pair{"1", "version 2"}, std::pair{"2", "images"}}) {
        const std::string other = files::safetensors(small(), {{"format", "regad-golden"}, {"version", version}});
        CHECK_THROWS(regad::Golden::read(*regad::open_memory(other.data(), other.size())), complaint);
    }
}

TEST(files_that_cannot_be_read) {
    CHECK_THROWS(regad::open_file("/nowhere/at/all"), "No such file");
    CHECK_THROWS(regad::open_file("/"), "not a regular file");
    CHECK_THROWS(regad::read_all(*regad::open_memory("abc", 3), 2), "larger");
    CHECK_THROWS(regad::Artifact::open("/nowhere"), "regad-export");
}
