// Four codes in a word, in plain C++.
#pragma once

#include "kernels/code-inl.h"
#include "kernels/vec_scalar.h"

namespace {

inline Vec reciprocal_estimate(Vec b) { return quotient(Vec(1.0f), b); }

}  // namespace

#include "kernels/scaled-inl.h"

namespace {

struct Sums {
  std::int32_t v;

  static Sums all(std::int32_t x) { return {x}; }
  static Sums load(const std::int32_t* p) { return {*p}; }
  void store(std::int32_t* p) const { *p = v; }
  Vec floats() const { return static_cast<float>(v); }
};

struct Codes {
  static constexpr int per_word = 4, offset = 0;
  using Code = std::int8_t;
  std::uint32_t v;

  static Codes load(const void* p) {
    Codes codes;
    __builtin_memcpy(&codes.v, p, sizeof codes.v);
    return codes;
  }
  static Codes all(std::uint32_t word) { return {word}; }
  void store(float* p) const { __builtin_memcpy(p, &v, sizeof v); }
  static Codes of(const Vec (&h)[4]) {
    std::uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word |= (code_of(h[i].v) & 0xffu) << (8 * i);
    return {word};
  }
  std::int32_t code(int i) const { return static_cast<std::int8_t>(v >> (8 * i)); }

  friend Sums dot(Codes w, Codes x, Sums acc) {
    for (int i = 0; i < 4; ++i) acc.v += w.code(i) * x.code(i);
    return acc;
  }
};

template <bool coarse>
using LowActivations = ScaledActivations<Grade::fine>;

struct LowRegisters {
  static constexpr int rows = 4, vectors = 4;
};

}  // namespace
