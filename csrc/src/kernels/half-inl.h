// Activations of scaled sums (see scaled-inl.h) in float16, 32 at once: for products of one bf16
// part, whose 8 bits err by more. The states stay float32.
//
// A sigmoid errs by up to 8e-4, a tanh by 1.5e-3 and 2.1e-3 of itself. A product of denominators
// would leave the range, so each has a quotient of its own.
#pragma once

#include "kernels/scaled-inl.h"

namespace {

// (2^f - 1) / f on [-1/2, 1/2]: of the rough polynomial of scaled-inl.h.
constexpr float kHalfPower[] = {6.93282902e-1f, 2.42210954e-1f, 5.50090447e-2f};
// Where 2^z stops: 1 + 2^15 is far from float16's limit, and 2^-14 its least normal number.
constexpr float kHalfLow = -14.0f, kHalfHigh = 15.0f;

// 2^z as 2^n (1 + m).
template <class H>
struct HalfPower {
  H power_of_n, m;
};
template <class H>
inline __attribute__((always_inline)) HalfPower<H> half_power(H z) {
  z = max(H(kHalfLow), min(H(kHalfHigh), z));
  const H n = nearest(z);
  const H f = z - n;
  const H p = fma(fma(H(kHalfPower[2]), f, H(kHalfPower[1])), f, H(kHalfPower[0]));
  return {scaled(H(1.0f), n), p * f};
}

// z = -log2(e) x.
template <class H>
inline __attribute__((always_inline)) H half_sigmoid(H z) {
  const HalfPower<H> e = half_power(z);
  return reciprocal_estimate(fma(e.power_of_n, e.m, e.power_of_n + H(1.0f)));
}

// z = 2 log2(e) x. e - 1 = 2^n m + (2^n - 1) keeps the digits of a small x.
template <class H>
inline __attribute__((always_inline)) H half_tanh(H z) {
  const HalfPower<H> e = half_power(z);
  const H less = fma(e.power_of_n, e.m, e.power_of_n - H(1.0f));
  return less * reciprocal_estimate(less + H(2.0f));
}

// As ScaledActivations.
struct HalfActivations {
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> gate(const Vecs<n>& z) {
    return half_sigmoid(Halves::of(z)).template floats<n>();
  }
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> memory_gate(const Vecs<n>& z) {
    return gate(z);
  }
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> candidate(const Vecs<n>& z) {
    return half_tanh(Halves::of(z)).template floats<n>();
  }
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> gate_times_candidate(const Vecs<n>& a,
                                                                            const Vecs<n>& b) {
    return (half_sigmoid(Halves::of(a)) * half_tanh(Halves::of(b))).template floats<n>();
  }
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> gate_times_output(const Vecs<n>& o,
                                                                         const Vecs<n>& c) {
    return gate_times_candidate(o, c * Vecs<n>(kTwoLog2e));
  }
  template <class Run>
  static inline __attribute__((always_inline)) auto in_one(Run run) {
    return run(HalfActivations{});
  }
};

}  // namespace
