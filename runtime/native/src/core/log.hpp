// The process-wide log: messages go to the caller's function or nowhere.
#pragma once

#include <regad/regad.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace regad {

// Makes it one line: control characters become blanks.
inline void flatten(char *text, std::size_t length) noexcept {
    std::replace_if(text, text + length, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
}

// Whether this thread is running the caller's log function. What it logs itself is dropped.
bool inside_log_function() noexcept;
void set_log(regad_log_function function, void *user, regad_log_level level);
void log(regad_log_level level, const char *message) noexcept;
inline void log(regad_log_level level, const std::string &message) noexcept { log(level, message.c_str()); }

}  // namespace regad
