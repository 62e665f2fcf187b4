#include "formats/json.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <stdexcept>

namespace regad {

Json parse_json(std::string_view text) {
    try {
        return Json::parse(text.begin(), text.end());
    } catch (const Json::parse_error &error) {
        throw std::runtime_error("it is not valid JSON in UTF-8: see byte " + std::to_string(error.byte));
    } catch (const Json::exception &) {
        throw std::runtime_error("it is not valid JSON: a number is too large");
    }
}

const Json &member(const Json &object, const char *key) {
    if (!object.is_object()) {
        throw std::runtime_error(std::string("what holds '") + key + "' is not an object");
    }
    const auto found = object.find(key);
    if (found == object.end()) {
        throw std::runtime_error(std::string("'") + key + "' is missing");
    }
    return *found;
}

Json optional(const Json &object, const char *key) { return object.contains(key) ? object[key] : Json(); }

std::string get_text(const Json &object, const char *key) {
    const Json &value = member(object, key);
    if (!value.is_string()) {
        throw std::runtime_error(std::string("'") + key + "' is not a string");
    }
    return value.get<std::string>();
}

double get_number(const Json &object, const char *key) {
    const Json &value = member(object, key);
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
        throw std::runtime_error(std::string("'") + key + "' is not a finite number");
    }
    return value.get<double>();
}

std::uint64_t get_count(const Json &object, const char *key) {
    const Json &value = member(object, key);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > (std::uint64_t{1} << 53)) {
        throw std::runtime_error(std::string("'") + key + "' is not a whole number of 0 or more");
    }
    return value.get<std::uint64_t>();
}

}  // namespace regad
