// Activations of sums that are scaled already (see matrix_table.h): they begin with 2^x.
#pragma once

#include <cstdint>

#include "kernels/vecs-inl.h"

namespace {

constexpr float kTwoLog2e = 2.88539008f;

// The limits of sigmoid and tanh in activations-inl.h as powers of two: e^-87, e^60 and e^20.
constexpr float kScaledLow = -125.5f;
constexpr float kScaledSigmoidLimit = 86.5f;
constexpr float kScaledTanhLimit = 28.8f;

// How exact the activations are. `rough` errs by up to 2e-4 of an activation, where bf16 products
// err by as much; `fine` is good to float32.
enum class Grade { rough, fine };

// 2^f on [-1/2, 1/2]. Rough: degree 3 with p(0) = 1 and the least relative error, 1.0e-4, found
// like the polynomial of activations-inl.h, whose coefficients are the fine ones.
template <Grade grade, class V>
inline __attribute__((always_inline)) V power_of_fraction(V f) {
  V p;
  if constexpr (grade == Grade::rough) {
    p = V(5.50090447e-2f);
    p = fma(p, f, V(2.42210954e-1f));
    p = fma(p, f, V(6.93282902e-1f));
  } else {
    p = V(1.32695213e-3f);
    p = fma(p, f, V(9.67129134e-3f));
    p = fma(p, f, V(5.55071086e-2f));
    p = fma(p, f, V(2.40222469e-1f));
    p = fma(p, f, V(6.93147004e-1f));
  }
  return fma(p, f, V(1.0f));
}

// 2^x for x <= high. A NaN stays one: here they come from arithmetic alone, whose NaNs have no bits
// that 2^n could change.
template <Grade grade, class V>
inline __attribute__((always_inline)) V exp2_below(V x, float high) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's low bits hold the whole number
  x = max(V(kScaledLow), min(V(high), x));
  const V biased = x + V(kRound);
  const V n = biased - V(kRound);
  return scale_by_power_of_two(power_of_fraction<grade>(x - n), biased);
}

template <int n>
inline __attribute__((always_inline)) Vecs<n> reciprocal_estimate(const Vecs<n>& b) {
  return Vecs<n>::each([](Vec x) { return reciprocal_estimate(x); }, b);
}

template <Grade grade, class V>
inline __attribute__((always_inline)) V reciprocal_of(V b) {
  if constexpr (grade == Grade::rough) {
    return reciprocal_estimate(b);
  } else {
    return quotient(V(1.0f), b);
  }
}
template <Grade grade, class V>
inline __attribute__((always_inline)) V quotient_of(V a, V b) {
  if constexpr (grade == Grade::rough) {
    return a * reciprocal_of<grade>(b);
  } else {
    return quotient(a, b);
  }
}

// z = -log2(e) x.
template <Grade grade, class V>
inline __attribute__((always_inline)) V scaled_sigmoid_denominator(V z) {
  return V(1.0f) + exp2_below<grade>(z, kScaledSigmoidLimit);
}
template <Grade grade, class V>
inline __attribute__((always_inline)) V scaled_sigmoid(V z) {
  return reciprocal_of<grade>(scaled_sigmoid_denominator<grade>(z));
}

// z = 2 log2(e) x.
template <Grade grade, class V>
inline __attribute__((always_inline)) V scaled_tanh(V z) {
  const V e = exp2_below<grade>(z, kScaledTanhLimit);
  return quotient_of<grade>(e - V(1.0f), e + V(1.0f));
}

// sigmoid(a) * tanh(b) of scaled a and b, with one quotient.
template <Grade grade, class V>
inline __attribute__((always_inline)) V scaled_sigmoid_times_tanh(V a, V b) {
  const V e = exp2_below<grade>(b, kScaledTanhLimit);
  return quotient_of<grade>(e - V(1.0f), (e + V(1.0f)) * scaled_sigmoid_denominator<grade>(a));
}

// As UsualActivations, of sums that are scaled already.
template <Grade grade>
struct ScaledActivations {
  template <class V>
  static inline __attribute__((always_inline)) V gate(V x) {
    return scaled_sigmoid<grade>(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V memory_gate(V x) {
    return gate(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V candidate(V x) {
    return scaled_tanh<grade>(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_candidate(V a, V b) {
    return scaled_sigmoid_times_tanh<grade>(a, b);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_output(V o, V c) {
    return scaled_sigmoid_times_tanh<grade>(o, c * V(kTwoLog2e));
  }
  template <class Run>
  static inline __attribute__((always_inline)) auto in_one(Run run) {
    return run(ScaledActivations{});
  }
};

}  // namespace
