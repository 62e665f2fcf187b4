// The process-wide log: messages go to the caller's function or nowhere.
#pragma once

#include <regad/regad.h>

#include <string>

namespace regad {

void set_log(regad_log_function function, void *user, regad_log_level level);
void log(regad_log_level level, const char *message) noexcept;
inline void log(regad_log_level level, const std::string &message) noexcept { log(level, message.c_str()); }

}  // namespace regad
