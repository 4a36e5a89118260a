// AVX512-BF16: dot products, two multiply-adds a lane, and what matrix kernels do beside them.
#include <immintrin.h>

#include "kernels/pairs_avx512.h"
//
#include "kernels/scaled-inl.h"
#include "probes-inl.h"

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

template <Grade grade>
struct Scaled {
  static Vec gate(Vec x) { return scaled_sigmoid<grade>(x); }
  static Vec candidate(Vec x) { return scaled_tanh<grade>(x); }
  static Vec gate_times_candidate(Vec a, Vec b) { return scaled_sigmoid_times_tanh<grade>(a, b); }
  static Vec gate_times_tanh(Vec a, Vec c) {
    return scaled_sigmoid_times_tanh<grade>(a, c * Vec(kTwoLog2e));
  }
};

}  // namespace

const DotProbes& probes_bf16() {
  using Fine = Scaled<Grade::fine>;
  using Rough = Scaled<Grade::rough>;
  static constexpr DotProbes probes{
      {&dot_products, 1000, 8.0 * kSums * 32},
      {make_cells<Cell::lstm, Fine, Vec, 0>(), make_cells<Cell::lstm, Fine, Vec, kFmas>(),
       make_cells<Cell::gru, Fine, Vec, 0>(), make_cells<Cell::gru, Fine, Vec, kFmas>()},
      {make_cells<Cell::lstm, Rough, Vec, 0>(), make_cells<Cell::lstm, Rough, Vec, kFmas>(),
       make_cells<Cell::gru, Rough, Vec, 0>(), make_cells<Cell::gru, Rough, Vec, kFmas>()},
      kFmas,
      2};
  return probes;
}
}  // namespace roofline
