#include "formats/spec.hpp"

#include <nlohmann/json.hpp>

#include <stdexcept>

namespace regad {
namespace {

constexpr const char *fit_names[] = {"stretch", "letterbox", "crop"};
constexpr const char *resample_names[] = {"box", "lanczos", "bilinear"};

template <std::size_t N>
int index_of(const char *const (&names)[N], const std::string &text, const char *key) {
    for (std::size_t i = 0; i < N; ++i) {
        if (text == names[i]) {
            return static_cast<int>(i);
        }
    }
    throw std::runtime_error(std::string("'") + key + "' is '" + text + "', which this version does not know");
}

std::array<double, 3> three_numbers(const Json &object, const char *key) {
    const Json &value = member(object, key);
    if (!value.is_array() || value.size() != 3) {
        throw std::runtime_error(std::string("'") + key + "' is not a list of 3 numbers");
    }
    std::array<double, 3> numbers{};
    for (std::size_t i = 0; i < 3; ++i) {
        if (!value[i].is_number()) {
            throw std::runtime_error(std::string("'") + key + "' is not a list of 3 numbers");
        }
        numbers[i] = value[i].get<double>();
    }
    return numbers;
}

void read_roi(const Json &value, InputSpec &spec) {
    if (value.is_null()) {
        return;
    }
    bool good = value.is_array() && value.size() == 4;
    for (std::size_t i = 0; good && i < 4; ++i) {
        good = value[i].is_number_unsigned() && value[i].get<std::uint64_t>() <= 1U << 30U;
        spec.roi[i] = good ? value[i].get<std::int64_t>() : 0;
    }
    if (!good || spec.roi[2] < 1 || spec.roi[3] < 1) {
        throw std::runtime_error("'roi' is not null or x, y, width, height with width and height above 0");
    }
    spec.has_roi = true;
}

}  // namespace

InputSpec InputSpec::from_json(const Json &json) {
    if (get_text(json, "layout") != "NHWC" || get_text(json, "dtype") != "uint8" ||
        get_count(json, "size") != input_size || get_text(json, "color") != "RGB") {
        throw std::runtime_error("the input is not uint8 NHWC RGB of 224 x 224, all that this version reads");
    }
    InputSpec spec;
    spec.fit = static_cast<Fit>(index_of(fit_names, get_text(json, "fit"), "fit"));
    spec.resample = static_cast<Resample>(index_of(resample_names, get_text(json, "resample"), "resample"));
    read_roi(member(json, "roi"), spec);
    spec.mean = three_numbers(json, "mean");
    spec.std = three_numbers(json, "std");
    for (const double value : spec.std) {
        if (!(value > 0)) {
            throw std::runtime_error("'std' has a value that is not above 0");
        }
    }
    return spec;
}

const char *name(Fit fit) noexcept { return fit_names[static_cast<int>(fit)]; }
const char *name(Resample resample) noexcept { return resample_names[static_cast<int>(resample)]; }

}  // namespace regad
