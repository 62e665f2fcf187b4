#include "formats/registration.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/sizes.hpp"

namespace regad {
namespace {

// `count` finite numbers.
const Json &numbers(const Json &object, const char *key, std::size_t count) {
    const Json &values = member(object, key);
    const auto is_finite = [](const Json &value) { return value.is_number() && std::isfinite(value.get<double>()); };
    if (!values.is_array() || values.size() != count || !std::all_of(values.begin(), values.end(), is_finite)) {
        throw std::runtime_error(std::string("'") + key + "' of its registration is not " + std::to_string(count) +
                                 " finite numbers");
    }
    return values;
}

Limit read_limit(const Json &object, const char *key) {
    const Json &value = member(object, key), &taught = numbers(value, "taught", 2);
    const Limit limit{get_number(value, "low"), std::numeric_limits<double>::infinity(), taught[0].get<double>(),
                      taught[1].get<double>()};
    if (!(limit.low <= limit.taught_low && limit.taught_low <= limit.taught_high)) {
        throw std::runtime_error(std::string("the limit '") + key +
                                 "' of its registration and what it was taught with are not in order");
    }
    return limit;
}

bool is_inside(double value) { return value >= 0 && value <= plane_side; }

}  // namespace

RegistrationSpec RegistrationSpec::from_json(const Json &registration) {
    RegistrationSpec spec;
    const Json &weights = numbers(registration, "weights", 3), &region = numbers(registration, "region", 4);
    const Json &box = numbers(registration, "box", 2), &centre = numbers(registration, "centre", 2);
    for (std::size_t i = 0; i < 3; ++i) {
        spec.weights[i] = weights[i].get<float>();
    }
    spec.region = {region[0].get<double>(), region[1].get<double>(), region[2].get<double>(), region[3].get<double>()};
    spec.centre_x = centre[0].get<double>();
    spec.centre_y = centre[1].get<double>();
    const double width = box[0].get<double>(), height = box[1].get<double>();
    const Region &r = spec.region;
    constexpr double middle = plane_side / 2.0;  // a frame covers the plane's middle, whatever it shows
    if (!(is_inside(r.left) && is_inside(r.top) && is_inside(r.right) && is_inside(r.bottom) && r.left < middle &&
          r.right > middle && r.top < middle && r.bottom > middle && is_inside(spec.centre_x) && is_inside(spec.centre_y) && width >= 1 && height >= 1 &&
          width <= largest_side && height <= largest_side)) {
        throw std::runtime_error("the template's geometry contradicts itself");
    }
    spec.box_width = static_cast<int>(width);
    spec.box_height = static_cast<int>(height);
    spec.quality = read_limit(registration, "quality");
    spec.shown = read_limit(registration, "shown");
    return spec;
}

void RegistrationSpec::check() const {
    if (!std::all_of(structure.begin(), structure.end(), [](float value) { return value >= 0; })) {
        throw std::runtime_error("tensor 'structure' holds values below 0");
    }
    const auto is_too_large = [](float value) { return std::fabs(value) > static_cast<float>(plane_side); };
    if (std::fabs(weights[0]) + std::fabs(weights[1]) + std::fabs(weights[2]) > 1.01F ||
        std::any_of(grey.begin(), grey.end(), is_too_large)) {
        throw std::runtime_error("the template's weights or values are too large");
    }
}

double RegistrationSpec::cells(int side) const noexcept {
    return static_cast<double>(region_cells) * side / std::max(box_width, box_height);
}

}  // namespace regad
