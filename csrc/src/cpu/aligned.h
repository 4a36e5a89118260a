// Buffers for the kernels: aligned to a cache line, zero at first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace slidecell {

// Of plain numbers T.
template <class T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t size) { reset(size); }

  // A new buffer of `size` zeros. Throws std::bad_alloc.
  void reset(std::int64_t size) {
    constexpr std::size_t kLine = 64;
    const auto n = static_cast<std::size_t>(size);
    if (size < 0 || n > (SIZE_MAX - kLine) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = (n * sizeof(T) + kLine) / kLine * kLine;
    data_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, bytes);
    size_ = size;
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t size_ = 0;
};

using AlignedFloats = AlignedBuffer<float>;
using AlignedWords = AlignedBuffer<std::uint32_t>;

}  // namespace slidecell
