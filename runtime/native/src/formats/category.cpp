#include "formats/category.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <new>
#include <stdexcept>

#include "core/error.hpp"
#include "formats/json.hpp"
#include "formats/requires.hpp"
#include "formats/safetensors.hpp"
#include "formats/scoring.hpp"
#include "formats/sha256.hpp"

namespace regad {
namespace {

constexpr const char *teach = "make one with: regad-calib --model ARTIFACT --support DIR --out FILE";

std::string metadata(const SafetensorsHeader &header, const char *key) {
    const auto found = header.metadata.find(key);
    if (found == header.metadata.end()) {
        throw std::runtime_error(std::string("it has no '") + key + "' mark");
    }
    return found->second;
}

void check_format(const SafetensorsHeader &header) {
    if (metadata(header, "format") != "regad-category") {
        throw std::runtime_error("it is not a category file");
    }
    if (metadata(header, "version") != "3") {
        throw std::runtime_error("it has category version " + metadata(header, "version") +
                                 ", this library reads version 3: teach the part again with regad-calib");
    }
}

template <typename T>
Buffer<T> read_values(const Source &source, const std::string &name, const TensorEntry &entry, Sha256 &digest) {
    Buffer<T> values(static_cast<std::size_t>(entry.bytes / sizeof(T)));
    source.read(entry.offset, values.data(), values.size() * sizeof(T));
    digest.update(values.data(), values.size() * sizeof(T));
    if (!all_finite(values.data(), values.size())) {
        throw std::runtime_error("tensor '" + name + "' holds values that are not finite");
    }
    return values;
}

// A tensor that is not part of the statistics: this library uses none, but the hash covers them all.
void pass_over(const Source &source, const TensorEntry &entry, Sha256 &digest) {
    unsigned char piece[4096];
    for (std::uint64_t done = 0; done < entry.bytes;) {
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof piece, entry.bytes - done));
        source.read(entry.offset + done, piece, length);
        digest.update(piece, length);
        done += length;
    }
}

void check_calibration(const SafetensorsHeader &header, const ScoringSpec &scoring) {
    const bool found = header.tensors.count("scale") != 0 && header.tensors.count("norms") != 0;
    if (found && !scoring.calibrated) {
        throw std::runtime_error("it has a calibration by held-out parts, but its scoring has none");
    }
    if (scoring.calibrated) {
        const std::uint64_t grid = grid_of(scoring.groups.back());
        header.expect("scale", "F32", {grid, grid});
        header.expect("norms", "F32", {scoring.groups.size()});
    }
}

Buffer<float> above_zero(Buffer<float> values, const std::string &name) {
    if (!std::all_of(values.begin(), values.end(), [](float value) { return value > 0; })) {
        throw std::runtime_error("tensor '" + name + "' holds values that are not above 0");
    }
    return values;
}

void check_registration(const SafetensorsHeader &header) {
    header.expect("template", "F32", {plane_side, plane_side});
    header.expect("reference", "U8", {input_size, input_size, 3});
    header.expect("structure", "F32", {grid1, grid1});
}

// Reads a tensor of the registration; false if it is none of them.
bool read_registration(const Source &source, const std::string &name, const TensorEntry &entry, Sha256 &digest,
                       RegistrationSpec &registration) {
    if (name == "template") {
        registration.grey = read_values<float>(source, name, entry, digest);
    } else if (name == "structure") {
        registration.structure = read_values<float>(source, name, entry, digest);
    } else if (name == "reference") {
        registration.reference = Buffer<unsigned char>(static_cast<std::size_t>(entry.bytes));
        source.read(entry.offset, registration.reference.data(), registration.reference.size());
        digest.update(registration.reference.data(), registration.reference.size());
    } else {
        return false;
    }
    return true;
}

Calibration read_tensors(const Source &source, const SafetensorsHeader &header, const ScoringSpec &scoring,
                         Category &category) {
    StatisticsGroups &groups = category.statistics;
    const Dtype dtype = category.dtype;
    std::map<std::string, Statistics *> own;
    for (Statistics &group : groups) {
        for (const TensorShape &tensor : tensor_shapes(group.encoding, group.rank, group.finest)) {
            header.expect(tensor.name, is_half(tensor.name, dtype) ? "F16" : "F32", tensor.shape);
            own.emplace(tensor.name, &group);
        }
    }
    check_calibration(header, scoring);
    if (category.registration) {
        check_registration(header);
    }
    Calibration calibration;
    Sha256 digest;
    for (const auto &[name, entry] : header.tensors) {  // in the order of the names
        digest.update(name.data(), name.size());
        const auto group = own.find(name);
        if (scoring.calibrated && (name == "scale" || name == "norms")) {
            Buffer<float> &values = name == "scale" ? calibration.scale : calibration.norms;
            values = above_zero(read_values<float>(source, name, entry, digest), name);
        } else if (category.registration && read_registration(source, name, entry, digest, *category.registration)) {
            continue;
        } else if (group == own.end()) {
            pass_over(source, entry, digest);
        } else if (is_half(name, dtype)) {
            group->second->halves.emplace(name, read_values<std::uint16_t>(source, name, entry, digest));
        } else {
            group->second->tensors.emplace(name, read_values<float>(source, name, entry, digest));
        }
    }
    if (digest.hex() != category.data_sha256) {
        throw std::runtime_error("its statistics do not match their sha256");
    }
    return calibration;
}

// Groups without their tensors: the encodings stand one after another, with a + between them.
StatisticsGroups read_groups(const std::string &encodings, const Groups &groups, std::size_t rank) {
    StatisticsGroups made;
    std::size_t start = 0;
    for (const std::size_t finest : groups) {
        const std::size_t end = std::min(encodings.find('+', start), encodings.size());
        Statistics group;
        group.encoding = encoding_from(encodings.substr(std::min(start, end), end - std::min(start, end)));
        group.rank = rank;
        group.finest = finest;
        made.push_back(std::move(group));
        start = end + 1;
    }
    if (start <= encodings.size()) {
        throw std::runtime_error("encoding is '" + encodings + "', which is more than its scoring has groups");
    }
    return made;
}

Limits read_limits(const Json &object) {
    if (!object.is_object()) {
        throw std::runtime_error("'limits' is not an object");
    }
    Limits limits = no_limits();
    for (const auto &[key, value] : object.items()) {
        const auto *const found = std::find(std::begin(measure_names), std::end(measure_names), key);
        if (found == std::end(measure_names)) {
            throw std::runtime_error("it limits " + key + ", which this version does not measure; update regad");
        }
        const Json &taught = member(value, "taught");
        if (!taught.is_array() || taught.size() != 2 || !taught[0].is_number() || !taught[1].is_number()) {
            throw std::runtime_error("the limit of '" + key + "' is not taught with two numbers");
        }
        Limit &limit = limits[static_cast<std::size_t>(found - measure_names)];
        limit.low = get_number(value, "low");
        limit.taught_low = taught[0].get<double>();
        limit.taught_high = taught[1].get<double>();
        limit.high = member(value, "high").is_null() ? limit.high : get_number(value, "high");
        if (!(limit.low <= limit.taught_low && limit.taught_low <= limit.taught_high &&
              limit.taught_high <= limit.high && std::isfinite(limit.taught_high))) {
            throw std::runtime_error("the limit of '" + key + "' and what it was taught with are not in order");
        }
    }
    return limits;
}

void read_threshold(const Json &threshold, Category &category) {
    category.threshold = get_number(threshold, "value");
    if (category.threshold <= 0) {
        throw std::runtime_error("its threshold is not a finite value above 0");
    }
    category.threshold_method = get_text(threshold, "method");
    category.threshold_note = get_text(threshold, "note");
    if (!optional(threshold, "warn").is_null()) {
        category.warn_threshold = get_number(threshold, "warn");
        if (!(0 < category.warn_threshold && category.warn_threshold < category.threshold)) {
            throw std::runtime_error("its warn limit is not above 0 and below the threshold");
        }
    }
    const Json prior = optional(threshold, "prior");
    category.threshold_prior = prior.dump();
    if (!prior.is_null()) {
        for (const char *const key : {"delta", "tau", "sigma"}) {
            get_number(prior, key);
        }
    }
}

}  // namespace

Category Category::read(const Source &source) {
    const SafetensorsHeader header = read_safetensors_header(source);
    check_format(header);
    const Json meta = parse_json(metadata(header, "meta"));
    check_requires(meta);
    const ScoringSpec scoring = ScoringSpec::from_json(member(meta, "scoring"));
    if (get_number(meta, "epsilon") != epsilon) {
        throw std::runtime_error("its epsilon is not 0.01");
    }
    Category category;
    category.dtype = dtype_from(get_text(meta, "dtype"));
    category.views = get_count(meta, "views");
    const std::uint64_t rank = get_count(meta, "rank");
    if (rank < 1 || rank > most_rank || category.views != rank + 1) {
        throw std::runtime_error("its rank is " + std::to_string(rank) + " with " + std::to_string(category.views) +
                                 " views; expected the number of views less one");
    }
    category.statistics = read_groups(get_text(meta, "encoding"), scoring.groups, static_cast<std::size_t>(rank));
    category.spec = InputSpec::from_json(member(meta, "input"));
    category.shot = get_count(meta, "shot");
    category.artifact = get_text(meta, "artifact");
    category.data_sha256 = get_text(meta, "data_sha256");
    read_threshold(member(meta, "threshold"), category);
    category.limits = read_limits(member(meta, "limits"));
    const Json &registration = member(meta, "registration");
    if (registration.is_null() != member(meta, "requires").empty()) {
        throw std::runtime_error("its 'requires' and its registration do not agree");
    }
    if (!registration.is_null()) {
        category.registration = RegistrationSpec::from_json(registration);
    }
    category.scoring = scoring.with(read_tensors(source, header, scoring, category));
    if (category.registration) {
        category.registration->check();
    }
    return category;
}

Category Category::load(const std::string &path, const std::string &artifact_hash, const InputSpec &artifact_spec) {
    Category category;
    try {
        category = read(*open_file(path));
    } catch (const std::bad_alloc &) {
        throw;
    } catch (const std::exception &error) {
        fail(REGAD_CATEGORY_ERROR, path, " cannot be used (", error.what(), "); ", teach);
    }
    if (category.artifact != artifact_hash) {
        fail(REGAD_CATEGORY_ERROR, path, " was taught on artifact ", category.artifact.substr(0, 12),
             ", but this one is ", artifact_hash.substr(0, 12), "; teach the part on it: regad-calib");
    }
    if (category.spec.mean != artifact_spec.mean || category.spec.std != artifact_spec.std) {
        fail(REGAD_CATEGORY_ERROR, path, " was taught with another mean or std than the artifact applies; "
             "teach the part on it: regad-calib");
    }
    return category;
}

}  // namespace regad
