// Activation functions on vectors, and the cells' nonlinear parts.
#pragma once

#include "slidecell/layer.hpp"

namespace {

using slidecell::Activation;
using slidecell::RecurrentActivation;

// e^x for x <= high, where high <= 87; e^-87 = 1.6e-38 for all x below -87.
//
// e^x = 2^n 2^f with n = round(x log2(e)) and |f| <= 1/2. Adding 1.5*2^23 leaves n in the low bits
// of the sum. 2^f is the degree-5 polynomial of least relative error on [-1/2, 1/2] with p(0) = 1,
// found by Lawson's iteration with the coefficients rounded to float32 one by one, lowest first:
// relative error 9.3e-8. p(0) = 1 makes tanh(0) = 0 and sigmoid(0) = 1/2 exact.
// A NaN in x comes through (it is the second operand of min and max). The lower limit keeps f
// small: for x = -1e16 the product's rounding alone would make it 1e8, and its polynomial infinite.
inline Vec exp_below(Vec x, float high) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  x = max(Vec(-87.0f), min(Vec(high), x));
  const Vec biased = fma(x, Vec(kLog2e), Vec(kRound));
  const Vec n = biased - Vec(kRound);
  const Vec f = fma(x, Vec(kLog2e), Vec(0.0f) - n);
  Vec p = Vec(1.32695213e-3f);
  p = fma(p, f, Vec(9.67129134e-3f));
  p = fma(p, f, Vec(5.55071086e-2f));
  p = fma(p, f, Vec(2.40222469e-1f));
  p = fma(p, f, Vec(6.93147004e-1f));
  p = fma(p, f, Vec(1.0f));
  return scale_by_power_of_two(p, n, biased);
}

// Where a sigmoid's or tanh's exponential may stop growing: sigmoid(-60) = 9e-27, and tanh(10)
// rounds to 1. The products of two such terms below stay under e^80, far from overflow.
constexpr float kSigmoidLimit = 60.0f;
constexpr float kTanhLimit = 20.0f;

// 1 + e^-x: sigmoid(x) is its reciprocal.
inline Vec sigmoid_denominator(Vec x) {
  return Vec(1.0f) + exp_below(Vec(0.0f) - x, kSigmoidLimit);
}
inline Vec sigmoid(Vec x) { return quotient(Vec(1.0f), sigmoid_denominator(x)); }

// tanh(x) = (e^2x - 1) / (e^2x + 1): absolute error about 1e-7, also near zero.
inline Vec tanh(Vec x) {
  const Vec e = exp_below(x + x, kTanhLimit);
  return quotient(e - Vec(1.0f), e + Vec(1.0f));
}

// sigmoid(a) * tanh(b) with one quotient.
inline Vec sigmoid_times_tanh(Vec a, Vec b) {
  const Vec e = exp_below(b + b, kTanhLimit);
  return quotient(e - Vec(1.0f), (e + Vec(1.0f)) * sigmoid_denominator(a));
}

inline Vec hard_sigmoid(Vec x) {
  return min(Vec(1.0f), max(Vec(0.0f), fma(x, Vec(1.0f / 6.0f), Vec(0.5f))));
}

inline Vec activate(Activation activation, Vec x) {
  switch (activation) {
    case Activation::tanh:
      return tanh(x);
    case Activation::relu:
      return max(Vec(0.0f), x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::linear:
      break;
  }
  return x;
}

inline Vec activate(RecurrentActivation activation, Vec x) {
  return activation == RecurrentActivation::sigmoid ? sigmoid(x) : hard_sigmoid(x);
}

struct Activations {
  Activation candidate;
  RecurrentActivation gate;
  bool usual() const {
    return candidate == Activation::tanh && gate == RecurrentActivation::sigmoid;
  }
};

// c <- f*c + i*g;  returns h = o * act(c). gates: i f g o before activation.
inline Vec lstm_cell(Activations act, const Vec gates[4], Vec& c) {
  if (act.usual()) {
    c = fma(sigmoid(gates[1]), c, sigmoid_times_tanh(gates[0], gates[2]));
    return sigmoid_times_tanh(gates[3], c);
  }
  const Vec i = activate(act.gate, gates[0]), f = activate(act.gate, gates[1]);
  const Vec g = activate(act.candidate, gates[2]), o = activate(act.gate, gates[3]);
  c = fma(f, c, i * g);
  return o * activate(act.candidate, c);
}

// h' = (1-z) n + z h = n + z (h - n), with z before activation and n after it.
inline Vec gru_blend(Activations act, Vec z, Vec n, Vec h) {
  return fma(activate(act.gate, z), h - n, n);
}

}  // namespace
