// AVX512-BF16's dot products: two multiply-adds a lane.
#include <immintrin.h>

#include "probes.h"

namespace roofline {
namespace {

constexpr int kSums = 12;

void dot_products(float*, std::int64_t rounds) {
  __m512 acc[kSums];
  __m512i x = _mm512_set1_epi32(0x3f003f00), y = x;  // pairs of 0.5
  asm volatile("" : "+v"(x), "+v"(y));
#pragma GCC unroll 16
  for (__m512& a : acc) {
    a = _mm512_setzero_ps();
    asm volatile("" : "+v"(a));
  }
  for (std::int64_t i = 0; i < rounds * 8; ++i) {
#pragma GCC unroll 16
    for (__m512& a : acc) a = _mm512_dpbf16_ps(a, (__m512bh)x, (__m512bh)y);
  }
#pragma GCC unroll 16
  for (__m512& a : acc) asm volatile("" : "+v"(a));
}

}  // namespace

const Probe& probe_bf16() {
  static constexpr Probe probe{&dot_products, 1000, 8.0 * kSums * 32};
  return probe;
}
}  // namespace roofline
