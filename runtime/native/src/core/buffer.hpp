// Memory for numbers: aligned to a cache line, not initialised beyond its padding, of checked size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace regad {

// A fixed array of T. Kernels may read (and scale by zero) up to `padding` bytes past its end: those are zero.
template <typename T>
class Buffer {
public:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t padding = 64;

    Buffer() = default;
    explicit Buffer(std::size_t size) : size_(size) {
        constexpr std::size_t most = std::numeric_limits<std::size_t>::max() - 2 * alignment - padding;
        if (size > most / sizeof(T)) {
            throw std::bad_alloc();
        }
        const std::size_t bytes = size * sizeof(T);
        const std::size_t room = (bytes + padding + alignment - 1) / alignment * alignment;
        data_ = static_cast<T *>(std::aligned_alloc(alignment, room));
        if (data_ == nullptr) {
            throw std::bad_alloc();
        }
        std::memset(reinterpret_cast<unsigned char *>(data_) + bytes, 0, room - bytes);
    }
    // Memory of someone else, who keeps it longer and has readable bytes behind it as `padding` says.
    static Buffer borrow(T *data, std::size_t size) noexcept {
        Buffer buffer;
        buffer.data_ = data;
        buffer.size_ = size;
        buffer.owned_ = false;
        return buffer;
    }
    Buffer(Buffer &&other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
          owned_(std::exchange(other.owned_, true)) {}
    Buffer &operator=(Buffer &&other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(owned_, other.owned_);
        return *this;
    }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer() {
        if (owned_) {
            std::free(data_);
        }
    }

    T *data() noexcept { return data_; }
    const T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    T &operator[](std::size_t index) noexcept { return data_[index]; }
    const T &operator[](std::size_t index) const noexcept { return data_[index]; }
    T *begin() noexcept { return data_; }
    T *end() noexcept { return data_ + size_; }
    const T *begin() const noexcept { return data_; }
    const T *end() const noexcept { return data_ + size_; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
    bool owned_ = true;
};

// Makes room for `size` values; what was in a buffer that grows is lost.
template <typename T>
void reserve(Buffer<T> &buffer, std::size_t size) {
    if (buffer.size() < size) {
        buffer = Buffer<T>(size);
    }
}

}  // namespace regad
