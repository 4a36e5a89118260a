// Eight floats in a ymm register.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {  // one private copy per translation unit: see isa_scalar.cpp

struct Vec {
  static constexpr int lanes = 8;
  __m256 v;

  Vec() = default;
  Vec(__m256 x) : v(x) {}
  Vec(float x) : v(_mm256_set1_ps(x)) {}

  static __m256i mask(std::int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load(const float* p, std::int64_t n) { return _mm256_maskload_ps(p, mask(n)); }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, std::int64_t n) const { _mm256_maskstore_ps(p, mask(n), v); }

  friend Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
  friend Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
  friend Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
  friend Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
  friend Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
  // A NaN in the second operand comes through: vminps returns it.
  friend Vec min(Vec a, Vec b) { return _mm256_min_ps(a.v, b.v); }
  friend Vec max(Vec a, Vec b) { return _mm256_max_ps(a.v, b.v); }

  // a / b. vrcpps has 12 bits only: two Newton steps would cost more than the division.
  friend Vec quotient(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
  // p * 2^n for p * 2^n in the normal range: the low bits of `biased` = n + 1.5*2^23 hold n.
  friend Vec scale_by_power_of_two(Vec p, Vec biased) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(biased.v), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.v), exponent));
  }

  // The two bf16 numbers in each 32-bit lane, as float32.
  friend Vec bf16_low(Vec a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.v), 16));
  }
  friend Vec bf16_high(Vec a) {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(a.v), mask));
  }

  // Row k of the block becomes column k.
  friend void transpose(Vec (&block)[8]) {
    __m256 t[8];
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += 2) {
      t[k] = _mm256_unpacklo_ps(block[k].v, block[k + 1].v);
      t[k + 1] = _mm256_unpackhi_ps(block[k].v, block[k + 1].v);
    }
    __m256 u[8];  // u[4k + c]: in each half q, column 4q + c of rows 4k to 4k + 3
#pragma GCC unroll 2
    for (int k = 0; k < 8; k += 4) {
      u[k] = _mm256_shuffle_ps(t[k], t[k + 2], 0x44);
      u[k + 1] = _mm256_shuffle_ps(t[k], t[k + 2], 0xee);
      u[k + 2] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0x44);
      u[k + 3] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      block[c] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
      block[4 + c] = _mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
    }
  }
};

// Few numbers fit a shorter register, which would be no faster here.
using HalfVec = Vec;

// What the kernels hold in registers: 4 * units sums for each of `vectors` groups of columns.
struct Registers {
  static constexpr int units = 1, vectors = 3;  // 12 sums + 3 columns + 1 weight = 16 ymm
  // Where gradients of weights are added up: with 16 registers, 12 sums leave room for 3 columns.
  static constexpr int product_sums = 12, product_vectors = 3;
};

}  // namespace
