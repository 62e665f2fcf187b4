// What stands between the C ABI and C++: exceptions become statuses, structs of another size are refused.
#pragma once

#include <regad/regad.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#include "core/error.hpp"
#include "formats/log.hpp"

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

// The size that a struct had in the first version of the library.
template <typename Struct>
constexpr std::size_t first_size = sizeof(Struct);
template <>
inline constexpr std::size_t first_size<regad_result> = offsetof(regad_result, reason);

template <typename Struct>
constexpr bool is_known_size(std::size_t struct_size) noexcept {
    return struct_size == sizeof(Struct) || struct_size == first_size<Struct>;
}

template <typename Struct>
void check_size(std::size_t struct_size, const char *what) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    if (!is_known_size<Struct>(struct_size)) {
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
        Struct value = defaults;
        value.struct_size = struct_size;
        std::memcpy(target, &value, struct_size);
    });
}

// A caller's array of structs, which are as long as the first one's struct_size says. Where it says nothing that is known,
// they count as those of the first version: a struct only grows, so the caller's are not smaller.
template <typename Struct>
class Array {
public:
    explicit Array(Struct *first) noexcept
        : bytes_(reinterpret_cast<char *>(first)),
          step_(first != nullptr && is_known_size<Struct>(first->struct_size) ? first->struct_size : first_size<Struct>) {}

    // Only the fields that the first version has may be touched through it.
    Struct &first_fields(std::size_t i) const noexcept { return *reinterpret_cast<Struct *>(bytes_ + i * step_); }
    std::size_t struct_size(std::size_t i) const noexcept { return first_fields(i).struct_size; }
    std::size_t step() const noexcept { return step_; }
    // All of `value` that the caller's struct has room for, but its struct_size.
    void set(std::size_t i, const Struct &value) const noexcept {
        constexpr std::size_t size = sizeof value.struct_size;
        std::memcpy(bytes_ + i * step_ + size, reinterpret_cast<const char *>(&value) + size, step_ - size);
    }
    void fill(std::size_t count, const Struct &value) const noexcept {
        for (std::size_t i = 0; i < count; ++i) {
            set(i, value);
        }
    }

private:
    char *bytes_;
    std::size_t step_;
};

}  // namespace regad
