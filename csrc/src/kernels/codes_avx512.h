// Two codes of 16 bits in each lane of a zmm register: vpmaddwd.
#pragma once

#include "kernels/sums_avx512.h"

namespace {

struct Codes {
  static constexpr int per_word = 2, offset = 0;
  using Code = std::int16_t;
  __m512i v;

  static Codes load(const void* p) { return {_mm512_loadu_si512(p)}; }
  static Codes all(std::uint32_t word) { return {_mm512_set1_epi32(static_cast<int>(word))}; }
  void store(float* p) const { _mm512_storeu_si512(p, v); }
  static Codes of(const Vec (&h)[2]) {
    const __m512i odd = _mm512_slli_epi32(biased_codes<0>(h[1]), 16);
    return {_mm512_mask_blend_epi16(0xaaaaaaaau, biased_codes<0>(h[0]), odd)};
  }

  friend Sums dot(Codes w, Codes x, Sums acc) {
    return {_mm512_add_epi32(acc.v, _mm512_madd_epi16(w.v, x.v))};
  }
};

struct LowRegisters {
  static constexpr int rows = 8, vectors = 3;  // 24 sums + 3 columns + 1 weight + 1 product
};

}  // namespace
