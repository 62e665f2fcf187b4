#include "formats/scoring.hpp"

#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "core/sizes.hpp"

namespace regad {
namespace {

Groups groups_of(const Json &groups) {
    if (groups == Json::array({Json::array({"f1", "f2", "f3"})})) {
        return {1};
    }
    if (groups == Json::array({Json::array({"f2"}), Json::array({"f3"})})) {
        return {2, 3};
    }
    throw std::runtime_error("the groups of its scoring are not f1, f2 and f3 in one, or f2 and f3 each alone");
}

}  // namespace

ScoringSpec ScoringSpec::from_json(const Json &scoring) {
    static const std::set<std::string> known = {"score", "cells", "groups", "damping", "map"};
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
    spec.groups = groups_of(member(scoring, "groups"));
    spec.calibrated = !member(scoring, "damping").is_null();
    const double damping = spec.calibrated ? get_number(scoring, "damping") : 0;
    if (!(damping >= 0 && damping <= 1e6)) {
        throw std::runtime_error("the damping of its scoring is out of range");
    }
    const std::uint64_t cells = get_count(scoring, "cells");
    const bool product = map == "product", top = score == "top";
    const bool plain = cells == 0 && !spec.calibrated;
    if (product != (spec.groups.size() == 2) || (product && !(top && spec.calibrated)) || (!top && !plain) ||
        (top && (cells < 1 || cells > positions_of(spec.groups.back())))) {
        throw std::runtime_error("its scoring does not hold together: score, cells, groups, damping and map");
    }
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
        scoring.map_gain = static_cast<float>(1 / std::sqrt(product));
    }
    return scoring;
}

}  // namespace regad
