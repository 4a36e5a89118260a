// Sixteen int32 sums in a zmm register.
#pragma once

#include "kernels/code-inl.h"
#include "kernels/low_tables_avx512.h"
#include "kernels/vec_avx512.h"

namespace {

struct Sums {
  __m512i v;

  static Sums all(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
  static Sums load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
  void store(std::int32_t* p) const { _mm512_storeu_si512(p, v); }
  Vec floats() const { return _mm512_cvtepi32_ps(v); }
};

// round(127 h) + offset in the low bits. vmaxps gives its second operand for a NaN.
template <int offset>
inline __m512i biased_codes(Vec h) {
  const Vec inside = min(max(h, Vec(-1.0f)), Vec(1.0f));
  return _mm512_castps_si512(fma(inside, Vec(127.0f), Vec(kCodeRound + offset)).v);
}

// Four of them in each lane.
template <int offset>
inline __m512i byte_codes(const Vec (&h)[4]) {
  constexpr int kSelect = 0xea;  // (a & b) | c
  __m512i word = _mm512_slli_epi32(biased_codes<offset>(h[3]), 24);
  word = _mm512_ternarylogic_epi32(_mm512_slli_epi32(biased_codes<offset>(h[2]), 16),
                                   _mm512_set1_epi32(0xff0000), word, kSelect);
  word = _mm512_ternarylogic_epi32(_mm512_slli_epi32(biased_codes<offset>(h[1]), 8),
                                   _mm512_set1_epi32(0xff00), word, kSelect);
  return _mm512_ternarylogic_epi32(biased_codes<offset>(h[0]), _mm512_set1_epi32(0xff), word,
                                   kSelect);
}

}  // namespace
