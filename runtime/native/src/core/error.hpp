// The one exception of the library: a status and a line for the user. guard.hpp lets none leave the C ABI.
#pragma once

#include <regad/regad.h>

#include <sstream>
#include <stdexcept>
#include <string>

namespace regad {

class Error : public std::runtime_error {
public:
    Error(regad_status status, const std::string &text) : std::runtime_error(text), status_(status) {}
    regad_status status() const noexcept { return status_; }

private:
    regad_status status_;
};

// Throws an Error whose text is the parts written one after the other.
template <typename... Parts>
[[noreturn]] void fail(regad_status status, const Parts &...parts) {
    std::ostringstream text;
    (text << ... << parts);
    throw Error(status, text.str());
}

}  // namespace regad
