// Four codes in each lane of a zmm register, those of h without a sign: vpdpbusd, which wraps
// around. (vpdpbusds saturates.)
#pragma once

#include "kernels/sums_avx512.h"

namespace {

struct Codes {
  static constexpr int per_word = 4, offset = 128;
  using Code = std::uint8_t;
  __m512i v;

  static Codes load(const void* p) { return {_mm512_loadu_si512(p)}; }
  static Codes all(std::uint32_t word) { return {_mm512_set1_epi32(static_cast<int>(word))}; }
  void store(float* p) const { _mm512_storeu_si512(p, v); }
  static Codes of(const Vec (&h)[4]) { return {byte_codes<offset>(h)}; }

  // w: codes of weights, with their signs. As assembly: GCC 12 keeps the sums of
  // _mm512_dpbusd_epi32 in memory, which takes half as long again.
  friend Sums dot(Codes w, Codes x, Sums acc) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc.v) : "v"(x.v), "v"(w.v));
    return acc;
  }
};

struct LowRegisters {
  static constexpr int rows = 8, vectors = 3;  // 24 sums + 3 columns + 1 weight
};

}  // namespace
