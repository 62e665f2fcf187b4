// The few lines of a test framework that these tests need.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace check {

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Register {
    Register(const char *name, const char *file, void (*body)());
};

template <typename A, typename B>
void equal(const A &a, const B &b, const char *text, const char *file, int line) {
    if (!(a == b)) {
        std::ostringstream out;
        out << file << ":" << line << ": " << text << ": " << a << " is not " << b;
        throw Failure(out.str());
    }
}

}  // namespace check

#define TEST(name)                                                \
    static void test_##name();                                    \
    static const check::Register register_##name(#name, __FILE__, test_##name); \
    static void test_##name()

#define CHECK(condition)                                                                                  \
    do {                                                                                                  \
        if (!(condition)) {                                                                               \
            throw check::Failure(std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #condition); \
        }                                                                                                 \
    } while (false)

#define CHECK_EQUAL(a, b) check::equal((a), (b), #a " == " #b, __FILE__, __LINE__)

#define CHECK_THROWS(expression, part)                                                                    \
    do {                                                                                                  \
        std::string caught;                                                                               \
        try {                                                                                             \
            static_cast<void>(expression);                                                                \
        } catch (const std::exception &error) {                                                           \
            caught = error.what();                                                                        \
        }                                                                                                 \
        if (caught.find(part) == std::string::npos) {                                                     \
            throw check::Failure(std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": expected '" + \
                                 (part) + "', got '" + caught + "'");                                     \
        }                                                                                                 \
    } while (false)
