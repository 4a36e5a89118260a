// Sixteen floats in a zmm register.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {  // one private copy per translation unit: see isa_scalar.cpp

struct Vec {
  static constexpr int lanes = 16;
  __m512 v;

  Vec() = default;
  Vec(__m512 x) : v(x) {}
  Vec(float x) : v(_mm512_set1_ps(x)) {}

  static __mmask16 mask(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load(const float* p, std::int64_t n) { return _mm512_maskz_loadu_ps(mask(n), p); }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, std::int64_t n) const { _mm512_mask_storeu_ps(p, mask(n), v); }

  friend Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
  friend Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
  friend Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
  friend Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
  friend Vec abs(Vec a) { return _mm512_abs_ps(a.v); }
  // A NaN in the second operand comes through: vminps returns it.
  friend Vec min(Vec a, Vec b) { return _mm512_min_ps(a.v, b.v); }
  friend Vec max(Vec a, Vec b) { return _mm512_max_ps(a.v, b.v); }

  // a / b for finite b of magnitude 2^-100 to 2^120. vrcp14ps is good to 2^-14, so one correction
  // by the residual a - b q leaves little more than the rounding of q: 4 instructions, where vdivps
  // holds the divider for 10 to 16 cycles.
  friend Vec quotient(Vec a, Vec b) {
    const __m512 r = _mm512_rcp14_ps(b.v);
    const __m512 q = _mm512_mul_ps(a.v, r);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(b.v, q, a.v), r, q);
  }
  // p * 2^n, n a whole number; biased = n + 1.5*2^23 serves ISAs that build 2^n from its bits.
  // vscalefps is right for every n: it underflows to 0 and overflows to infinity.
  friend Vec scale_by_power_of_two(Vec p, Vec n, Vec /*biased*/) {
    return _mm512_scalef_ps(p.v, n.v);
  }
  static constexpr bool kScaleUnderflows = true;

  // The two bf16 numbers in each 32-bit lane, as float32.
  friend Vec bf16_low(Vec a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), 16));
  }
  friend Vec bf16_high(Vec a) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), mask));
  }
};

}  // namespace
