#include "formats/scoring.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "core/sizes.hpp"

namespace regad {
namespace {

Groups groups_of(const Json &levels) {
    if (levels == Json::array({"f1", "f2", "f3"})) {
        return {1};
    }
    if (levels == Json::array({Json::array({"f2"}), Json::array({"f3"})})) {
        return {2, 3};
    }
    throw std::runtime_error("the levels of its scoring are not f1, f2 and f3 together, or f2 and f3 each alone");
}

void check_calibration(const Json &calibration) {
    if (calibration.is_object() && calibration.size() > 1) {
        throw std::runtime_error("the calibration of its scoring has more than 'a', which this version does not know; "
                                 "update regad");
    }
    const double a = get_number(calibration, "a");
    if (!(a >= 0 && a <= 1e6)) {
        throw std::runtime_error("the calibration of its scoring is out of range");
    }
}

}  // namespace

ScoringSpec ScoringSpec::from_json(const Json &scoring) {
    static const std::set<std::string> known = {"score", "cells", "levels", "calibration", "map", "map_gain"};
    ScoringSpec spec;
    const std::string score = get_text(scoring, "score"), map = get_text(scoring, "map");
    if ((score != "max" && score != "top") || (map != "raw" && map != "product")) {
        throw std::runtime_error("it scores by '" + score + "' and shows the " + map +
                                 " map; this version knows max and top, raw and product: update regad");
    }
    for (const auto &[key, value] : scoring.items()) {
        static_cast<void>(value);
        if (known.count(key) == 0) {
            throw std::runtime_error("its scoring has " + key + ", which this version does not know; update regad");
        }
    }
    spec.groups = groups_of(member(scoring, "levels"));
    spec.calibrated = !member(scoring, "calibration").is_null();
    if (spec.calibrated) {
        check_calibration(member(scoring, "calibration"));
    }
    const std::uint64_t cells = get_count(scoring, "cells");
    const double gain = get_number(scoring, "map_gain");
    const bool product = map == "product", top = score == "top";
    const bool plain = cells == 0 && !spec.calibrated;
    if (product != (spec.groups.size() == 2) || (product && !(top && spec.calibrated)) || (!top && !plain) ||
        (top && (cells < 1 || cells > positions_of(spec.groups.back()))) || !(gain >= 1e-6 && gain <= 1e6) ||
        (!product && gain != 1)) {
        throw std::runtime_error("its scoring does not hold together: score, cells, levels, calibration, map, map_gain");
    }
    spec.map_gain = gain;
    spec.cells = static_cast<std::size_t>(cells);
    return spec;
}

Scoring ScoringSpec::with(Calibration calibration) const {
    Scoring scoring;
    scoring.groups = groups;
    scoring.cells = cells;
    scoring.scale = std::move(calibration.scale);
    if (groups.size() == 2) {
        const double product = static_cast<double>(calibration.norms[0]) * static_cast<double>(calibration.norms[1]);
        scoring.map_gain = static_cast<float>(map_gain / std::sqrt(product));
    }
    return scoring;
}

}  // namespace regad
