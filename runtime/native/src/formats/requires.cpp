#include "formats/requires.hpp"

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
        // Nothing beyond the formats themselves is provided so far.
        throw std::runtime_error("it requires " + name.get<std::string>() +
                                 ", which this version does not provide; update regad");
    }
}

void check_scoring(const Json &scoring) {
    static const Json provided = {{"score", "max"}, {"levels", {"f1", "f2", "f3"}}, {"calibrated", false}};
    if (scoring != provided) {
        throw std::runtime_error("its scoring is not the maximum over f1, f2 and f3, all that this version computes; "
                                 "update regad");
    }
}

}  // namespace regad
