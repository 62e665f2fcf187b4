// What the tests of the surface share: an artifact, categories, an image, and the stand-in for ONNX Runtime.
#pragma once

#include <dlfcn.h>
#include <regad/regad.hpp>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "check.hpp"
#include "fake_ort.h"
#include "files.hpp"

// The files, made once: every fixture copies them, for a test may damage its own.
struct Originals {
    Originals() : hash(files::write_artifact(folder / "model.regad")) {
        files::write_category(folder / "a.safetensors", hash, "gram", 3, 1, 50.0);
    }
    static const Originals &get() {
        static const Originals originals;
        return originals;
    }
    // A category of another encoding and threshold: large, so made where it is used, and not copied.
    static std::string hybrid() {
        static const files::Folder beside;
        static const std::string path = [] {
            const std::string made = beside / "b.safetensors";
            files::write_category(made, get().hash, "hybrid", 3, 2, 60.0);
            return made;
        }();
        return path;
    }

    files::Folder folder;
    std::string hash;
};

struct Fixture {
    Fixture() : hash(Originals::get().hash) {
        ::unsetenv("ORT_DISABLE_TELEMETRY");  // which Python sets: the library shall have to
        std::filesystem::copy(Originals::get().folder.path, folder.path, std::filesystem::copy_options::recursive);
        pixels.resize(640 * 480 * 4);
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            pixels[i] = static_cast<std::uint8_t>(i * 7 + i / 1000);
        }
        library = ::dlopen(FAKE_ORT, RTLD_NOW);
        CHECK(library != nullptr);
        fail = find<fake_ort_fail_function>("fake_ort_fail");
        mode = find<fake_ort_mode_function>("fake_ort_mode");
        given = find<fake_ort_given_function>("fake_ort_given");
        telemetry = find<fake_ort_telemetry_function>("fake_ort_telemetry");
        hold = find<fake_ort_hold_function>("fake_ort_hold");
        wait_held = find<fake_ort_wait_held_function>("fake_ort_wait_held");
        options.onnxruntime = FAKE_ORT;
        options.threads = 2;
    }
    Fixture(const Fixture &) = delete;
    Fixture &operator=(const Fixture &) = delete;
    ~Fixture() {
        fail("", 0);
        mode(0);
        ::dlclose(library);
    }
    regad::Detector open() const { return regad::Detector(folder / "model.regad", options); }
    std::string hybrid() const {
        CHECK_EQUAL(hash, Originals::get().hash);
        return Originals::hybrid();
    }
    regad::Image image(regad::Format format = regad::Format::rgb) const {
        return regad::Image(pixels.data(), 640, 480, format);
    }

    files::Folder folder;
    std::string hash;
    std::vector<std::uint8_t> pixels;
    regad::Options options;
    fake_ort_fail_function fail = nullptr;
    fake_ort_mode_function mode = nullptr;
    fake_ort_given_function given = nullptr;
    fake_ort_telemetry_function telemetry = nullptr;
    fake_ort_hold_function hold = nullptr;
    fake_ort_wait_held_function wait_held = nullptr;

private:
    template <typename Function>
    Function find(const char *name) const {
        return reinterpret_cast<Function>(::dlsym(library, name));
    }
    void *library = nullptr;
};

// The status that a call of the C++ header ends with; after a failure there is a line of text.
template <typename Body>
regad_status status_of(const Body &body) {
    try {
        body();
        return REGAD_OK;
    } catch (const regad::Error &error) {
        CHECK(std::strlen(error.what()) > 10);
        return error.status();
    }
}
