#include "formats/scoring.hpp"

#include <set>
#include <string>

#include "core/sizes.hpp"

namespace regad {
namespace {

std::size_t finest_of(const Json &levels) {
    static const Json names = {"f1", "f2", "f3"};
    for (std::size_t finest = 1; finest <= coarsest; ++finest) {
        if (levels == Json(names.begin() + static_cast<std::ptrdiff_t>(finest) - 1, names.end())) {
            return finest;
        }
    }
    throw std::runtime_error("the levels of its scoring are not f1, f2, f3, or these without the finest");
}

void check_calibration(const Json &calibration) {
    const double a = get_number(calibration, "a"), sigma = get_number(calibration, "sigma");
    if (!(a >= 0 && a <= 1e6 && sigma >= 0 && sigma <= grid1)) {
        throw std::runtime_error("the calibration of its scoring is out of range");
    }
}

}  // namespace

ScoringSpec ScoringSpec::from_json(const Json &scoring) {
    static const std::set<std::string> known = {"score", "cells", "levels", "calibration", "map", "map_gain"};
    ScoringSpec spec;
    const std::string score = get_text(scoring, "score"), map = get_text(scoring, "map");
    if ((score != "max" && score != "top") || (map != "raw" && map != "calibrated")) {
        throw std::runtime_error("it scores by '" + score + "' and shows the " + map +
                                 " map; this version knows max and top, raw and calibrated: update regad");
    }
    for (const auto &[key, value] : scoring.items()) {
        static_cast<void>(value);
        if (known.count(key) == 0) {
            throw std::runtime_error("its scoring has " + key + ", which this version does not know; update regad");
        }
    }
    spec.finest = finest_of(member(scoring, "levels"));
    spec.calibrated = !member(scoring, "calibration").is_null();
    spec.calibrated_map = map == "calibrated";
    const std::uint64_t cells = get_count(scoring, "cells");
    const double gain = get_number(scoring, "map_gain");
    if (spec.calibrated) {
        check_calibration(member(scoring, "calibration"));
    }
    const bool plain = cells == 0 && !spec.calibrated && !spec.calibrated_map && gain == 1;
    if ((score == "max" && !plain) || (score == "top" && (cells < 1 || cells > positions_of(spec.finest))) ||
        (spec.calibrated_map && !spec.calibrated) || !(gain >= 1e-6 && gain <= 1e6)) {
        throw std::runtime_error("its scoring does not hold together: score, cells, calibration, map and map_gain");
    }
    spec.cells = static_cast<std::size_t>(cells);
    spec.map_gain = static_cast<float>(gain);
    return spec;
}

Scoring ScoringSpec::with(const Buffer<float> &scale) const {
    Scoring scoring;
    scoring.grid = grid_of(finest);
    scoring.cells = cells;
    const std::size_t count = positions_of(finest);
    scoring.score_factors = Buffer<float>(count);
    scoring.map_factors = Buffer<float>(count);
    for (std::size_t i = 0; i < count; ++i) {
        const float factor = scale.size() == 0 ? 1.0F : scale[i];
        scoring.score_factors[i] = factor;
        scoring.map_factors[i] = calibrated_map ? factor * map_gain : map_gain;
    }
    return scoring;
}

}  // namespace regad
