// What stands between the C ABI and C++: exceptions become statuses, structs of another size are refused.
#pragma once

#include <regad/regad.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "core/error.hpp"
#include "core/log.hpp"

namespace regad {

// The line of regad_last_error, of fixed size so that an out-of-memory report needs no memory.
struct LastError {
    char text[1024];

    void set(const char *line) noexcept {
        std::size_t length = std::strlen(line);
        if (length >= sizeof text) {
            length = sizeof text - 1;
            while (length > 0 && (line[length] & 0xC0) == 0x80) {
                --length;  // not in the middle of a UTF-8 character
            }
        }
        std::memmove(text, line, length);
        text[length] = '\0';
        flatten(text, length);
    }
};

inline LastError &last_error() noexcept {
    thread_local LastError line{};
    return line;
}

inline regad_status report(regad_status status, const char *text) noexcept {
    LastError line;  // a copy: the log function may ask for the last error, or cause one
    line.set(text);
    log(REGAD_LOG_ERROR, line.text);
    last_error() = line;
    return status;
}

// Runs `body`; no exception leaves.
template <typename Body>
regad_status guarded(const Body &body) noexcept {
    try {
        if (inside_log_function()) {  // it holds the log: what the call logs, or waits for, would never come
            fail(REGAD_INVALID_ARGUMENT, "the log function called the library; it must only take the message");
        }
        body();
        return REGAD_OK;
    } catch (const Error &error) {
        return report(error.status(), error.what());
    } catch (const std::bad_alloc &) {
        return report(REGAD_OUT_OF_MEMORY, "out of memory; free some, or use fewer categories or a smaller batch");
    } catch (const std::exception &error) {
        return report(REGAD_INTERNAL_ERROR, error.what());
    } catch (...) {
        return report(REGAD_INTERNAL_ERROR, "an unknown exception");
    }
}

template <typename Struct>
void check_size(std::size_t struct_size, const char *what) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    // These layouts are the first released ones (0.1.0). A struct that has grown since compares with its size in 0.1.0.
    if (struct_size != sizeof(Struct)) {
        fail(REGAD_INVALID_ARGUMENT, what, ".struct_size is ", struct_size, ", this library knows ", sizeof(Struct),
             "; call its _init function with sizeof, and use a header that is not newer than the library");
    }
}

template <typename Struct>
regad_status init_struct(Struct *target, std::size_t struct_size, const Struct &defaults, const char *what) noexcept {
    return guarded([&] {
        if (target == nullptr) {
            fail(REGAD_INVALID_ARGUMENT, what, " is NULL");
        }
        check_size<Struct>(struct_size, what);
        *target = defaults;
    });
}

// Overwrites `count` structs with `value`, but for their struct_size. That is safe whatever their struct_size is: a
// struct only grows, so the caller's are not smaller than those of 0.1.0, of which all of this is.
template <typename Struct>
void overwrite(Struct *targets, std::size_t count, const Struct &value) noexcept {
    std::for_each(targets, targets + count, [&value](Struct &target) {
        const std::size_t struct_size = target.struct_size;
        target = value;
        target.struct_size = struct_size;
    });
}

}  // namespace regad
