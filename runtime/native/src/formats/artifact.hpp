// Reader of the artifact folder; the format is defined in runtime/formats/artifact.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/buffer.hpp"
#include "formats/source.hpp"
#include "formats/spec.hpp"
#include "core/statistics.hpp"

namespace regad {

struct FileEntry {
    std::string sha256;
    std::uint64_t bytes = 0;
};

// The parsed manifest.
struct Manifest {
    std::map<std::string, FileEntry> files;
    std::map<std::string, std::string> scorers;  // encoding -> file name
    InputSpec spec;
    std::string dtype;                           // what the encoder computes in: fp32, fp16, int8
    bool registers = true;                       // whether the encoder has STNs; else its transforms are the identity
    Dtype statistics_dtype = Dtype::fp32;        // what the scorer graphs take the statistics as
    std::string hash;                            // identity that ties a category to the artifact

    // Largest relative error of an output that the self-test allows (runtime/selftest.py has the same table).
    double tolerance(const std::string &output) const;

    // Throws std::runtime_error with what is wrong; never reads another file.
    static Manifest parse(std::string_view text);
};

// Golden inputs and expected outputs.
struct Golden {
    std::size_t count = 0;  // images
    std::size_t rank = 0;   // of the gram statistics
    Buffer<unsigned char> images;
    std::map<std::string, Buffer<float>> tensors;  // f1 f2 f3 theta anomaly_map anomaly_score, stats.*

    static Golden read(const Source &source);
};

class Artifact {
public:
    // Checks every file that the manifest names: size and sha256. Throws Error.
    static Artifact open(const std::string &path);

    // The bytes of a file of the manifest, checked again as they are read. Throws Error.
    Buffer<unsigned char> read(const std::string &name) const;
    Golden golden() const;
    const std::string &path() const noexcept { return path_; }
    const Manifest &manifest() const noexcept { return manifest_; }

private:
    std::string path_;
    Manifest manifest_;
};

}  // namespace regad
