// The activations of a head, number by number, and the likelihood of its means and variances.
//
// Lanes may be windows or outputs: what a number becomes depends on nothing but itself, so that
// both orientations give the same bits.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/product-inl.h"

namespace {

using slidecell::HeadActivation;

// P(X > t) of a standard normal X, t from 0 to 20: k p(k) e^(-t^2 / 2) with k = 1 / (1 + 0.26 t), a
// form of Hastings (1955, "Approximations for Digital Computers"). p is the degree-8 polynomial of
// least relative error for t up to 14, found by Lawson's iteration: relative error 5e-8. Beyond
// t = 13 the exponential stands still at 2e-38.
template <class V>
inline __attribute__((always_inline)) V normal_tail(V t) {
  const V e = exponential(-0.5f, t * t, 0.0f, 174.0f).e;
  const V k = quotient(V(1.0f), fma(t, V(0.26f), V(1.0f)));
  V p = V(3.05047370e-2f);
  p = fma(p, k, V(-1.52828112e-1f));
  p = fma(p, k, V(2.51489848e-1f));
  p = fma(p, k, V(-1.50947362e-1f));
  p = fma(p, k, V(1.60946772e-1f));
  p = fma(p, k, V(5.10281362e-2f));
  p = fma(p, k, V(1.03030138e-1f));
  p = fma(p, k, V(1.03016764e-1f));
  p = fma(p, k, V(1.03759058e-1f));
  return k * p * e;
}

// x P(X <= x) for a standard normal X, written so that nothing cancels: a negative x keeps the
// relative error of its tail. t P(X > t) is next to nothing from t = 20 on.
template <class V>
inline __attribute__((always_inline)) V gelu(V x) {
  const V positive = max(V(0.0f), x);  // NaN for NaN
  const V t = min(V(20.0f), abs(x));
  return positive - t * normal_tail(t);
}

// x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)). A
// sigmoid does not fall below 1e-26: below x = -12 the product stands still, next to nothing.
template <class V>
inline __attribute__((always_inline)) V gelu_tanh(V x) {
  constexpr float kTwice = 1.59576912f;  // 2 sqrt(2/pi)
  const V square = x * x;
  const V u = x * fma(square, V(kTwice * 0.044715f), V(kTwice));
  return max(V(-12.0f), x) * sigmoid(u);
}

// Calls f on every vector, `most_vectors` in lockstep.
template <int most_vectors, class F>
inline void activate_each(const slidecell::ActivateColumns& a, F f) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      using V = Vecs<decltype(count)::value>;
      f(V::load(a.x + r * a.stride + v * Vec::lanes)).store(a.out + r * a.stride + v * Vec::lanes);
    });
  }
}

template <int most_vectors>
void activate_columns(const slidecell::ActivateColumns& a) {
  switch (a.activation) {
    case HeadActivation::linear:
      return activate_each<most_vectors>(a, [](auto x) { return x; });
    case HeadActivation::relu:
      return activate_each<most_vectors>(a, [](auto x) { return max(decltype(x)(0.0f), x); });
    case HeadActivation::tanh:
      return activate_each<most_vectors>(a, [](auto x) { return tanh(x); });
    case HeadActivation::sigmoid:
      return activate_each<most_vectors>(a, [](auto x) { return sigmoid(x); });
    case HeadActivation::gelu:
      return activate_each<most_vectors>(a, [](auto x) { return gelu(x); });
    case HeadActivation::gelu_tanh:
      return activate_each<most_vectors>(a, [](auto x) { return gelu_tanh(x); });
    case HeadActivation::leaky_relu:
      break;
  }
  activate_each<most_vectors>(a, [slope = a.slope](auto x) {
    using V = decltype(x);
    return fma(V(slope), min(V(0.0f), x), max(V(0.0f), x));
  });
}

// acc + v + error^2 / e^v with v the log variance, no smaller than log 1e-6: twice the negative log
// likelihood, but for its constant. The root of e^v is taken out of the exponential, so that the
// quotient is squared and neither of its parts leaves float32 before the whole does. NaN for a NaN
// of either.
inline Vec add_gaussian(Vec error, Vec log_variance, Vec acc) {
  const Vec v = max(Vec(-13.8155106f), log_variance);
  const Vec z = error * exponential(-0.5f, v, -14.0f, 174.0f).e;
  return acc + fma(z, z, v);
}

}  // namespace
