// Two codes of 16 bits in each lane of a ymm register: vpmaddwd. (vpmaddubsw's sums of two products
// of bytes saturate.)
#pragma once

#include "kernels/code-inl.h"
#include "kernels/vec_avx2.h"

namespace {

inline Vec reciprocal_estimate(Vec b) { return quotient(Vec(1.0f), b); }

}  // namespace

#include "kernels/scaled-inl.h"

namespace {

struct Sums {
  __m256i v;

  static Sums all(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
  static Sums load(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  void store(std::int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  Vec floats() const { return _mm256_cvtepi32_ps(v); }
};

struct Codes {
  static constexpr int per_word = 2, offset = 0;
  using Code = std::int16_t;
  __m256i v;

  static Codes load(const void* p) { return {_mm256_loadu_si256(static_cast<const __m256i*>(p))}; }
  static Codes all(std::uint32_t word) { return {_mm256_set1_epi32(static_cast<int>(word))}; }
  void store(float* p) const { _mm256_storeu_ps(p, _mm256_castsi256_ps(v)); }
  static Codes of(const Vec (&h)[2]) {
    const __m256i odd = _mm256_slli_epi32(biased(h[1]), 16);
    return {_mm256_blend_epi16(biased(h[0]), odd, 0xaa)};
  }

  friend Sums dot(Codes w, Codes x, Sums acc) {
    return {_mm256_add_epi32(acc.v, _mm256_madd_epi16(w.v, x.v))};
  }

 private:
  // vmaxps gives its second operand for a NaN.
  static __m256i biased(Vec h) {
    const Vec inside = min(max(h, Vec(-1.0f)), Vec(1.0f));
    return _mm256_castps_si256(fma(inside, Vec(127.0f), Vec(kCodeRound)).v);
  }
};

template <bool coarse>
using LowActivations = ScaledActivations<Grade::fine>;

struct LowRegisters {
  static constexpr int rows = 4, vectors = 2;  // 8 sums + 2 columns + 1 weight + 1 product
};

}  // namespace
