#include "formats/source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace regad {
namespace {

class File final : public Source {
public:
    File(int handle, std::uint64_t size) : Source(size), handle_(handle) {}
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    ~File() override { ::close(handle_); }

private:
    void read_checked(std::uint64_t offset, void *to, std::size_t count) const override {
        auto *bytes = static_cast<unsigned char *>(to);
        while (count > 0) {
            const std::size_t step = std::min<std::size_t>(count, std::size_t{1} << 30);
            const ssize_t got = ::pread(handle_, bytes, step, static_cast<off_t>(offset));
            if (got < 0 && errno == EINTR) {
                continue;
            }
            if (got <= 0) {
                throw std::runtime_error(got == 0 ? "it was cut short while it was read" : std::strerror(errno));
            }
            bytes += got;
            offset += static_cast<std::uint64_t>(got);
            count -= static_cast<std::size_t>(got);
        }
    }
    int handle_;
};

class Memory final : public Source {
public:
    Memory(const void *data, std::size_t size) : Source(size), data_(static_cast<const unsigned char *>(data)) {}

private:
    void read_checked(std::uint64_t offset, void *to, std::size_t count) const override {
        std::memcpy(to, data_ + offset, count);
    }
    const unsigned char *data_;
};

}  // namespace

void Source::read(std::uint64_t offset, void *to, std::size_t count) const {
    if (offset > size_ || count > size_ - offset) {
        throw std::out_of_range("it ends before the data it announces");
    }
    if (count > 0) {
        read_checked(offset, to, count);
    }
}

std::unique_ptr<Source> open_file(const std::string &path) {
    const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (handle < 0) {
        throw std::runtime_error(std::strerror(errno));
    }
    struct stat about {};
    if (::fstat(handle, &about) != 0 || !S_ISREG(about.st_mode)) {
        ::close(handle);
        throw std::runtime_error("it is not a regular file");
    }
    return std::make_unique<File>(handle, static_cast<std::uint64_t>(about.st_size));
}

std::unique_ptr<Source> open_memory(const void *data, std::size_t size) {
    return std::make_unique<Memory>(data, size);
}

Buffer<unsigned char> read_all(const Source &source, std::uint64_t most) {
    if (source.size() > most) {
        throw std::runtime_error("it is larger than such a file can be");
    }
    Buffer<unsigned char> bytes(static_cast<std::size_t>(source.size()));
    source.read(0, bytes.data(), bytes.size());
    return bytes;
}

}  // namespace regad
