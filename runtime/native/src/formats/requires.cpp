#include "formats/requires.hpp"

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>

namespace regad {

void check_requires(const Json &object) {
    const Json &names = member(object, "requires");
    if (!names.is_array()) {
        throw std::runtime_error("'requires' is not a list of names");
    }
    for (const Json &name : names) {
        if (!name.is_string()) {
            throw std::runtime_error("'requires' is not a list of names");
        }
        if (name != "registration") {
            throw std::runtime_error("it requires " + name.get<std::string>() +
                                     ", which this version does not provide; update regad");
        }
    }
}

}  // namespace regad
