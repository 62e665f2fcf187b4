// Strict access to parsed JSON: the wrong type or a missing key throws std::runtime_error naming the key.
// Nlohmann's header is large: only sources that look into JSON in other ways include it as well.
#pragma once

#if __has_include(<nlohmann/json_fwd.hpp>)
#include <nlohmann/json_fwd.hpp>
#else  // some installations have the one header alone
#include <nlohmann/json.hpp>
#endif

#include <cstdint>
#include <string>
#include <string_view>

namespace regad {

using Json = nlohmann::json;

Json parse_json(std::string_view text);
const Json &member(const Json &object, const char *key);
// The same, or null where it is missing.
Json optional(const Json &object, const char *key);
std::string get_text(const Json &object, const char *key);
double get_number(const Json &object, const char *key);
// A whole number in 0 ... 2^53 (beyond that JSON numbers are not exact everywhere).
std::uint64_t get_count(const Json &object, const char *key);

}  // namespace regad
