// 32 float16 numbers in a zmm register (AVX512-FP16): those of one or two vectors.
#pragma once

#include <immintrin.h>

#include "kernels/vecs-inl.h"

namespace {

struct Halves {
  __m512h v;

  Halves(__m512h x) : v(x) {}
  explicit Halves(float x) : v(_mm512_set1_ph(static_cast<_Float16>(x))) {}

  static Halves of(const Vecs<2>& x) {
    const __m512i low = _mm512_castsi256_si512((__m256i)_mm512_cvtxps_ph(x.v[0].v));
    return (__m512h)_mm512_inserti64x4(low, (__m256i)_mm512_cvtxps_ph(x.v[1].v), 1);
  }
  static Halves of(const Vecs<1>& x) {
    const __m512i low = _mm512_castsi256_si512((__m256i)_mm512_cvtxps_ph(x.v[0].v));
    return (__m512h)_mm512_inserti64x4(low, _mm512_castsi512_si256(low), 1);
  }
  template <int n>
  Vecs<n> floats() const {
    Vecs<n> out;
    out.v[0] = _mm512_cvtxph_ps((__m256h)_mm512_castsi512_si256((__m512i)v));
    if constexpr (n == 2) {
      out.v[1] = _mm512_cvtxph_ps((__m256h)_mm512_extracti64x4_epi64((__m512i)v, 1));
    }
    return out;
  }

  friend Halves operator+(Halves a, Halves b) { return _mm512_add_ph(a.v, b.v); }
  friend Halves operator-(Halves a, Halves b) { return _mm512_sub_ph(a.v, b.v); }
  friend Halves operator*(Halves a, Halves b) { return _mm512_mul_ph(a.v, b.v); }
  friend Halves fma(Halves a, Halves b, Halves c) { return _mm512_fmadd_ph(a.v, b.v, c.v); }
  // b where one of them is a NaN.
  friend Halves min(Halves a, Halves b) { return _mm512_min_ph(a.v, b.v); }
  friend Halves max(Halves a, Halves b) { return _mm512_max_ph(a.v, b.v); }
  friend Halves nearest(Halves a) { return _mm512_roundscale_ph(a.v, 0); }
  // a 2^n of whole n.
  friend Halves scaled(Halves a, Halves n) { return _mm512_scalef_ph(a.v, n.v); }
  // 1 / b, good to 2^-11.
  friend Halves reciprocal_estimate(Halves b) { return _mm512_rcp_ph(b.v); }
};

}  // namespace
