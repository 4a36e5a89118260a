// A buffer of floats for the kernels: aligned to a cache line, zero at first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace slidecell {

class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(std::int64_t size) { reset(size); }

  // A new buffer of `size` zeros. Throws std::bad_alloc.
  void reset(std::int64_t size) {
    constexpr std::size_t kLine = 64;
    const auto n = static_cast<std::size_t>(size);
    if (size < 0 || n > (SIZE_MAX - kLine) / sizeof(float)) throw std::bad_alloc();
    const std::size_t bytes = (n * sizeof(float) + kLine) / kLine * kLine;
    data_.reset(static_cast<float*>(std::aligned_alloc(kLine, bytes)));
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, bytes);
    size_ = size;
  }

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  std::int64_t size_ = 0;
};

}  // namespace slidecell
