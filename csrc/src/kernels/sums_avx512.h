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

}  // namespace
