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
  // p * 2^n for p * 2^n in the normal range: the low bits of `biased` = n + 1.5*2^23 hold n.
  // vscalefps would do it for every n, but takes the time of two multiply-adds.
  friend Vec scale_by_power_of_two(Vec p, Vec biased) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(biased.v), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.v), exponent));
  }

  // The two bf16 numbers in each 32-bit lane, as float32.
  friend Vec bf16_low(Vec a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), 16));
  }
  friend Vec bf16_high(Vec a) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), mask));
  }

  // Row k of the block becomes column k.
  friend void transpose(Vec (&block)[16]) {
    __m512 t[16];
#pragma GCC unroll 8
    for (int k = 0; k < 16; k += 2) {
      t[k] = _mm512_unpacklo_ps(block[k].v, block[k + 1].v);
      t[k + 1] = _mm512_unpackhi_ps(block[k].v, block[k + 1].v);
    }
    __m512 u[16];  // u[4k + c]: in each quarter q, column 4q + c of rows 4k to 4k + 3
#pragma GCC unroll 4
    for (int k = 0; k < 16; k += 4) {
      u[k] = shuffle_pairs<0x00>(t[k], t[k + 2]);
      u[k + 1] = shuffle_pairs<0xff>(t[k], t[k + 2]);
      u[k + 2] = shuffle_pairs<0x00>(t[k + 1], t[k + 3]);
      u[k + 3] = shuffle_pairs<0xff>(t[k + 1], t[k + 3]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const __m512 low = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x44);
      const __m512 high = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xee);
      const __m512 low2 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x44);
      const __m512 high2 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xee);
      block[c] = _mm512_shuffle_f32x4(low, low2, 0x88);
      block[4 + c] = _mm512_shuffle_f32x4(low, low2, 0xdd);
      block[8 + c] = _mm512_shuffle_f32x4(high, high2, 0x88);
      block[12 + c] = _mm512_shuffle_f32x4(high, high2, 0xdd);
    }
  }
  template <int which>
  static __m512 shuffle_pairs(__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_shuffle_pd(_mm512_castps_pd(a), _mm512_castps_pd(b), which));
  }
};

// For few numbers: a CPU that splits a zmm register in two does the half in half the time.
struct HalfVec {
  static constexpr int lanes = 8;
  __m256 v;

  HalfVec() = default;
  HalfVec(__m256 x) : v(x) {}
  HalfVec(float x) : v(_mm256_set1_ps(x)) {}

  static HalfVec load(const float* p) { return _mm256_loadu_ps(p); }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  friend HalfVec operator+(HalfVec a, HalfVec b) { return _mm256_add_ps(a.v, b.v); }
  friend HalfVec fma(HalfVec a, HalfVec b, HalfVec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
};

// What the kernels hold in registers: 4 * units sums for each of `vectors` groups of columns.
struct Registers {
  static constexpr int units = 2, vectors = 3;  // 24 sums + 3 columns + 1 weight = 28 of 32 zmm
  // Where gradients of weights are added up: sums, and groups of columns beside them.
  static constexpr int product_sums = 24, product_vectors = 4;
};

}  // namespace
