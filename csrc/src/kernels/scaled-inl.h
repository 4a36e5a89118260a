// Activations of sums that are scaled already (see matrix_table.h): they begin with 2^x.
#pragma once

#include "kernels/activations-inl.h"

namespace {

constexpr float kTwoLog2e = 2.88539008f;

// The bounds of exp_below as powers of two: e^-87, e^60 and e^20.
constexpr float kScaledLow = -125.5f;
constexpr float kScaledSigmoidLimit = 86.5f;
constexpr float kScaledTanhLimit = 28.8f;

// How exact the activations are. `rough` errs by up to 2e-4 of an activation, where bf16 products
// err by as much; `fine` is good to float32.
enum class Grade { rough, fine };

// 2^f on [-1/2, 1/2]. Rough: degree 3 with p(0) = 1 and the least relative error, 1.0e-4, found
// like exp_below's polynomial, whose coefficients are the fine ones.
template <Grade grade>
inline __attribute__((always_inline)) Vec power_of_fraction(Vec f) {
  Vec p;
  if constexpr (grade == Grade::rough) {
    p = Vec(5.50090447e-2f);
    p = fma(p, f, Vec(2.42210954e-1f));
    p = fma(p, f, Vec(6.93282902e-1f));
  } else {
    p = Vec(1.32695213e-3f);
    p = fma(p, f, Vec(9.67129134e-3f));
    p = fma(p, f, Vec(5.55071086e-2f));
    p = fma(p, f, Vec(2.40222469e-1f));
    p = fma(p, f, Vec(6.93147004e-1f));
  }
  return fma(p, f, Vec(1.0f));
}

// 2^x for x <= high. A NaN in x comes through.
template <Grade grade>
inline __attribute__((always_inline)) Vec exp2_below(Vec x, float high) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  x = max(Vec(kScaledLow), min(Vec(high), x));
  const Vec biased = x + Vec(kRound);
  const Vec n = biased - Vec(kRound);
  return scale_by_power_of_two(power_of_fraction<grade>(x - n), biased);
}

template <Grade grade>
inline __attribute__((always_inline)) Vec quotient_of(Vec a, Vec b) {
  if constexpr (grade == Grade::rough) {
    return a * reciprocal_estimate(b);
  } else {
    return quotient(a, b);
  }
}

// z = -log2(e) x.
template <Grade grade>
inline __attribute__((always_inline)) Vec scaled_sigmoid_denominator(Vec z) {
  return Vec(1.0f) + exp2_below<grade>(z, kScaledSigmoidLimit);
}
template <Grade grade>
inline __attribute__((always_inline)) Vec scaled_sigmoid(Vec z) {
  const Vec d = scaled_sigmoid_denominator<grade>(z);
  if constexpr (grade == Grade::rough) {
    return reciprocal_estimate(d);
  } else {
    return quotient(Vec(1.0f), d);
  }
}

// z = 2 log2(e) x.
template <Grade grade>
inline __attribute__((always_inline)) Vec scaled_tanh(Vec z) {
  const Vec e = exp2_below<grade>(z, kScaledTanhLimit);
  return quotient_of<grade>(e - Vec(1.0f), e + Vec(1.0f));
}

// sigmoid(a) * tanh(b) of scaled a and b, with one quotient.
template <Grade grade>
inline __attribute__((always_inline)) Vec scaled_sigmoid_times_tanh(Vec a, Vec b) {
  const Vec e = exp2_below<grade>(b, kScaledTanhLimit);
  return quotient_of<grade>(e - Vec(1.0f), (e + Vec(1.0f)) * scaled_sigmoid_denominator<grade>(a));
}

// As lstm_cell, from scaled gates i f g o.
template <Grade grade>
inline __attribute__((always_inline)) Vec scaled_lstm_cell(const Vec gates[4], Vec& c) {
  c = fma(scaled_sigmoid<grade>(gates[1]), c, scaled_sigmoid_times_tanh<grade>(gates[0], gates[2]));
  return scaled_sigmoid_times_tanh<grade>(gates[3], c * Vec(kTwoLog2e));
}

}  // namespace
