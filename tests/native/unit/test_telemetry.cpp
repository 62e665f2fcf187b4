// ONNX Runtime is told to be quiet before it starts, once a process: each case in a process of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "fixture.hpp"

namespace {

// Runs the body in a child process. Call it before the parent has made a detector.
template <typename Body>
bool holds_in_a_child(const Body &body) {
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            body();
            ::_exit(0);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "%s\n", error.what());
            ::_exit(1);
        }
    }
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST(telemetry_is_off_unless_the_user_decides) {
    const Fixture f;
    CHECK(holds_in_a_child([&f] {
        ::unsetenv("ORT_DISABLE_TELEMETRY");
        const regad::Detector detector = f.open();
        CHECK_EQUAL(std::string(std::getenv("ORT_DISABLE_TELEMETRY")), "1");
        CHECK_EQUAL(std::string(f.telemetry()), "1 disabled");
        CHECK_EQUAL(status_of([&f] { f.open(); }), REGAD_OK);
    }));
    CHECK(holds_in_a_child([&f] {
        ::unsetenv("ORT_DISABLE_TELEMETRY");
        regad::Options absent = f.options;
        absent.onnxruntime = "/nowhere.so";
        CHECK_EQUAL(status_of([&] { regad::Detector(f.folder / "model.regad", absent); }), REGAD_DEVICE_ERROR);
        const regad::Detector detector = f.open();
        CHECK_EQUAL(std::string(f.telemetry()), "1 disabled");
    }));
    for (const char *choice : {"0", "1", ""}) {
        CHECK(holds_in_a_child([&f, choice] {
            ::setenv("ORT_DISABLE_TELEMETRY", choice, 1);
            const regad::Detector detector = f.open();
            CHECK_EQUAL(std::string(f.telemetry()), choice);
        }));
    }
}
