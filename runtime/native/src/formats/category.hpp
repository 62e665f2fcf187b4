// Reader of the category file; the format is defined in runtime/formats/category.py.
#pragma once

#include <limits>
#include <optional>
#include <string>

#include "core/judge.hpp"
#include "formats/registration.hpp"
#include "formats/source.hpp"
#include "formats/spec.hpp"
#include "core/presence.hpp"
#include "core/statistics.hpp"

namespace regad {

// The warn limit where there is none: no score is above it.
constexpr double no_warning = std::numeric_limits<double>::infinity();

struct Category {
    StatisticsGroups statistics;
    Scoring scoring;  // with the category's calibration
    Dtype dtype = Dtype::fp32;
    InputSpec spec;
    Limits limits = no_limits();  // what a frame that shows the part looks like
    std::optional<RegistrationSpec> registration;  // of a part that is registered
    double threshold = 0;
    double warn_threshold = no_warning;  // below the threshold
    std::string artifact;  // hash of the artifact it was taught on
    std::string data_sha256;
    std::uint64_t shot = 0;
    std::uint64_t views = 0;
    std::string threshold_method;
    std::string threshold_note;
    std::string threshold_prior = "null";  // what other kinds of parts taught, as JSON

    // Throws std::runtime_error with what is wrong. Memory is taken only for tensors that the file really holds.
    static Category read(const Source &source);
    // The same from a file, checked against the artifact. Throws Error.
    static Category load(const std::string &path, const std::string &artifact_hash, const InputSpec &artifact_spec);
};

}  // namespace regad
