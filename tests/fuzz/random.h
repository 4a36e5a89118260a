// The random numbers of a mutator: libFuzzer gives the seed, so that a run can be repeated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slidecell::fuzz {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

  std::uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  // 0 .. n-1; 0 where n is 0.
  std::size_t below(std::size_t n) { return n == 0 ? 0 : (bits() >> 11) % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& values) {
    return values[below(values.size())];
  }

 private:
  std::uint64_t state_;
};

// Numbers at which sizes, offsets and counts go wrong.
inline const std::vector<std::int64_t>& odd_integers() {
  static const std::vector<std::int64_t> values = {
      0,
      1,
      2,
      3,
      4,
      7,
      8,
      16,
      -1,
      -2,
      std::int64_t{1} << 20,
      (std::int64_t{1} << 20) + 1,
      std::int64_t{1} << 30,
      (std::int64_t{1} << 30) + 1,
      INT32_MAX,
      std::int64_t{1} << 32,
      std::int64_t{1} << 53,
      std::int64_t{1} << 61,
      std::int64_t{1} << 62,
      INT64_MAX,
      INT64_MIN,
  };
  return values;
}

inline const std::vector<double>& odd_reals() {
  static const std::vector<double> values = {0.0,    -0.0,     0.5,    1.0,     -1.5,
                                             1e-45,  5e-324,   1e38,   3.5e38,  1e300,
                                             -1e300, 1.79e308, 1e-300, 16777217};
  return values;
}

}  // namespace slidecell::fuzz
