// A pointer and a length: the part of C++20's std::span that the public headers need.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace slidecell {

template <class T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, std::size_t size) : data_(data), size_(size) {}
  Span(std::vector<std::remove_const_t<T>>& v) : data_(v.data()), size_(v.size()) {}
  template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
  Span(const std::vector<std::remove_const_t<T>>& v) : data_(v.data()), size_(v.size()) {}
  template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
  Span(Span<std::remove_const_t<U>> other) : data_(other.data()), size_(other.size()) {}

  constexpr T* data() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](std::size_t i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace slidecell
