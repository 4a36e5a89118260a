// Activation functions on one vector or several in lockstep.
//
// Their instructions are the next limit after the products. What an operation costs depends on its
// unit: adding, comparing and shifting run beside the multiply-adds and are as good as free.
#pragma once

#include "kernels/vecs-inl.h"
#include "slidecell/layer.hpp"

namespace {

using slidecell::Activation;
using slidecell::RecurrentActivation;

template <class V>
struct Exponential {
  V e;
  V one;  // 1, or NaN if e should be: see exponential()
};

// e^(factor x) for x from `low` to `high`, and the value at the nearer limit for other x. The
// limits keep factor x within -87 and 87: e^-87 = 1.6e-38.
//
// e^y = 2^n 2^f with n = round(y log2(e)) and |f| <= 1/2. Adding 1.5*2^23 leaves n in the low bits
// of the sum. 2^f is the degree-5 polynomial of least relative error on [-1/2, 1/2] with p(0) = 1,
// found by Lawson's iteration with the coefficients rounded to float32 one by one, lowest first:
// relative error 9.3e-8. p(0) = 1 makes tanh(0) = 0 and sigmoid(0) = 1/2 exact. The factors are
// powers of two, so taking them into log2(e) rounds nothing.
//
// A NaN in x comes through min and max (it is the second operand), but n added to the bits of a NaN
// can make it a number. So `one` carries the NaN on: what is done with e is adding 1 and
// subtracting 1, for which `one` serves. The lower limit keeps f small: for y = -1e16 the product's
// rounding alone would make it 1e8, and its polynomial infinite.
template <class V>
inline __attribute__((always_inline)) Exponential<V> exponential(float factor, V x, float low,
                                                                 float high) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  x = max(V(low), min(V(high), x));
  const V biased = fma(x, V(factor * kLog2e), V(kRound));
  const V f = fma(x, V(factor * kLog2e), V(kRound) - biased);
  V p = V(1.32695213e-3f);
  p = fma(p, f, V(9.67129134e-3f));
  p = fma(p, f, V(5.55071086e-2f));
  p = fma(p, f, V(2.40222469e-1f));
  p = fma(p, f, V(6.93147004e-1f));
  p = fma(p, f, V(1.0f));
  return {scale_by_power_of_two(p, biased), min(V(1.0f), biased)};
}

// Where a sigmoid's or tanh's exponential may stop growing: sigmoid(-60) = 9e-27, and tanh(10)
// rounds to 1. The products of two such terms below stay under e^80, far from overflow.
template <class V>
inline __attribute__((always_inline)) Exponential<V> sigmoid_exponential(V x) {
  return exponential(-1.0f, x, -60.0f, 87.0f);
}
template <class V>
inline __attribute__((always_inline)) Exponential<V> tanh_exponential(V x) {
  return exponential(2.0f, x, -43.5f, 10.0f);
}

// 1 + e^-x: sigmoid(x) is its reciprocal.
template <class V>
inline __attribute__((always_inline)) V sigmoid_denominator(V x) {
  const Exponential<V> a = sigmoid_exponential(x);
  return a.one + a.e;
}
template <class V>
inline __attribute__((always_inline)) V sigmoid(V x) {
  return quotient(V(1.0f), sigmoid_denominator(x));
}

// tanh(x) = (e^2x - 1) / (e^2x + 1): absolute error about 1e-7, also near zero.
template <class V>
inline __attribute__((always_inline)) V tanh(V x) {
  const Exponential<V> a = tanh_exponential(x);
  return quotient(a.e - a.one, a.e + a.one);
}

// sigmoid(a) * tanh(b) with one quotient.
template <class V>
inline __attribute__((always_inline)) V sigmoid_times_tanh(V a, V b) {
  const V denominator = sigmoid_denominator(a);
  const Exponential<V> t = tanh_exponential(b);
  return quotient(t.e - t.one, (t.e + t.one) * denominator);
}

inline Vec hard_sigmoid(Vec x) {
  return min(Vec(1.0f), max(Vec(0.0f), fma(x, Vec(1.0f / 6.0f), Vec(0.5f))));
}

// The activations that are not usual stay out of the cells' code: calls, and no lockstep.
__attribute__((noinline)) Vec activate(Activation activation, Vec x) {
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
__attribute__((noinline)) Vec activate(RecurrentActivation activation, Vec x) {
  switch (activation) {
    case RecurrentActivation::sigmoid:
      return sigmoid(x);
    case RecurrentActivation::hard_sigmoid:
      break;
  }
  return hard_sigmoid(x);
}
template <class Kind, int n>
inline Vecs<n> activate(Kind kind, const Vecs<n>& x) {
  return Vecs<n>::each([kind](Vec y) { return activate(kind, y); }, x);
}

// The activations that a formula asks for. memory_gate is that of a gate that says how much of a
// state stays; gate_times_output that of an output gate before activation with the activated state
// c.
struct UsualActivations {  // sigmoid and tanh
  template <class V>
  static inline __attribute__((always_inline)) V gate(V x) {
    return sigmoid(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V memory_gate(V x) {
    return gate(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V candidate(V x) {
    return tanh(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_candidate(V a, V b) {
    return sigmoid_times_tanh(a, b);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_output(V o, V c) {
    return sigmoid_times_tanh(o, c);
  }
};

struct OtherActivations {
  Activation of_candidate;
  RecurrentActivation of_gates;

  template <class V>
  inline __attribute__((always_inline)) V gate(V x) const {
    return activate(of_gates, x);
  }
  template <class V>
  inline __attribute__((always_inline)) V memory_gate(V x) const {
    return gate(x);
  }
  template <class V>
  inline __attribute__((always_inline)) V candidate(V x) const {
    return activate(of_candidate, x);
  }
  template <class V>
  inline __attribute__((always_inline)) V gate_times_candidate(V a, V b) const {
    return gate(a) * candidate(b);
  }
  template <class V>
  inline __attribute__((always_inline)) V gate_times_output(V o, V c) const {
    return gate(o) * candidate(c);
  }
};

// Those that a step's arguments name. A formula that asks for several calls in_one(run), which is
// run(UsualActivations) or run(OtherActivations): one branch for all of them.
struct NamedActivations {
  Activation of_candidate;
  RecurrentActivation of_gates;

  bool usual() const {
    return of_candidate == Activation::tanh && of_gates == RecurrentActivation::sigmoid;
  }
  template <class V>
  inline __attribute__((always_inline)) V gate(V x) const {
    return usual() ? sigmoid(x) : activate(of_gates, x);
  }
  template <class V>
  inline __attribute__((always_inline)) V memory_gate(V x) const {
    return gate(x);
  }
  template <class V>
  inline __attribute__((always_inline)) V candidate(V x) const {
    return usual() ? tanh(x) : activate(of_candidate, x);
  }
  template <class Run>
  inline __attribute__((always_inline)) auto in_one(Run run) const {
    if (usual()) return run(UsualActivations{});
    return run(OtherActivations{of_candidate, of_gates});
  }
};

}  // namespace
