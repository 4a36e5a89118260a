// Sixteen pairs of bf16 numbers in a zmm register (AVX512-BF16).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/vec_avx512.h"

namespace {

struct PairVec {
  __m512i v;

  static PairVec load(const std::uint32_t* p) { return {_mm512_loadu_si512(p)}; }
  static PairVec all(std::uint32_t pair) { return {_mm512_set1_epi32(static_cast<int>(pair))}; }
  void store(std::uint32_t* p) const { _mm512_storeu_si512(p, v); }

  // even in the low halves, odd in the high ones, each rounded to the nearest.
  static PairVec of(Vec even, Vec odd) {
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(odd.v, even.v);
    // Words 0 to 15 of `halves` are the even ones, 16 to 31 the odd ones.
    const __m512i order = _mm512_add_epi32(
        _mm512_set1_epi32(0x00100000),
        _mm512_mullo_epi32(
            _mm512_set1_epi32(0x00010001),
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    return {_mm512_permutexvar_epi16(order, halves)};
  }
  Vec low() const { return bf16_low(Vec(_mm512_castsi512_ps(v))); }
  Vec high() const { return bf16_high(Vec(_mm512_castsi512_ps(v))); }

  friend Vec dot(PairVec w, PairVec x, Vec acc) {
    return _mm512_dpbf16_ps(acc.v, (__m512bh)w.v, (__m512bh)x.v);
  }
};

// 1 / b, good to 2^-14.
inline Vec reciprocal_estimate(Vec b) { return _mm512_rcp14_ps(b.v); }

}  // namespace
