// Where untrusted bytes come from: a file, or memory in tests and fuzzers. Reads are bounds-checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/buffer.hpp"

namespace regad {

class Source {
public:
    virtual ~Source() = default;
    std::uint64_t size() const noexcept { return size_; }
    // Copies `count` bytes from `offset`. Throws std::out_of_range beyond the end, std::runtime_error if the
    // file cannot be read.
    void read(std::uint64_t offset, void *to, std::size_t count) const;

protected:
    explicit Source(std::uint64_t size) : size_(size) {}

private:
    virtual void read_checked(std::uint64_t offset, void *to, std::size_t count) const = 0;
    std::uint64_t size_;
};

// A regular file. Throws std::runtime_error, with the reason, if it is none or cannot be opened.
std::unique_ptr<Source> open_file(const std::string &path);
// Bytes that outlive the source.
std::unique_ptr<Source> open_memory(const void *data, std::size_t size);

// All bytes. Throws std::runtime_error if there are more than `most`.
Buffer<unsigned char> read_all(const Source &source, std::uint64_t most);

}  // namespace regad
