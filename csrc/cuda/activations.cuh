// The cells' nonlinear parts at three accuracies. `gate` is the sigmoid of a gate, `sigmoid` an
// activation like any other.
#pragma once

#include "arguments.cuh"

namespace slidecell {

// float32's accuracy: the polynomials of src/kernels/activations-inl.h in the same order, so that
// the results have the bits of the AVX2 kernels.
struct AccurateMath {
  // e^x for x <= high <= 87; see activations-inl.h for the derivation.
  static __device__ __forceinline__ float exp_below(float x, float high) {
    constexpr float kLog2e = 1.44269504f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
    x = at_least(-87.0f, at_most(high, x));
    const float biased = fma(x, kLog2e, kRound);
    const float n = biased - kRound;
    const float f = fma(x, kLog2e, -n);
    float p = 1.32695213e-3f;
    p = fma(p, f, 9.67129134e-3f);
    p = fma(p, f, 5.55071086e-2f);
    p = fma(p, f, 2.40222469e-1f);
    p = fma(p, f, 6.93147004e-1f);
    p = fma(p, f, 1.0f);
    return from_bits(bits_of(p) + (bits_of(biased) << 23));
  }

  // a / b for b in [1, e^80] and |a| up to e^20. With the reciprocal refined once and one residual
  // this rounds as IEEE division does, but for 3 of the 2^46 pairs of mantissas, and needs no test
  // for special cases: 1 special-function and 5 ordinary instructions.
  static __device__ __forceinline__ float quotient(float a, float b) {
    float y = approximate_reciprocal(b);
    y = fma(y, fma(-b, y, 1.0f), y);
    const float q = a * y;
    return fma(fma(-b, q, a), y, q);
  }

  static __device__ __forceinline__ float sigmoid_denominator(float x) {
    return 1.0f + exp_below(-x, 60.0f);
  }
  static __device__ __forceinline__ float sigmoid(float x) {
    return quotient(1.0f, sigmoid_denominator(x));
  }
  static __device__ __forceinline__ float tanh(float x) {
    const float e = exp_below(x + x, 20.0f);
    return quotient(e - 1.0f, e + 1.0f);
  }
  static __device__ __forceinline__ float gate(float x) { return sigmoid(x); }
  // gate(a) * tanh(b) with one quotient.
  static __device__ __forceinline__ float gate_times_tanh(float a, float b) {
    const float e = exp_below(b + b, 20.0f);
    return quotient(e - 1.0f, (e + 1.0f) * sigmoid_denominator(a));
  }
};

// For split bf16 products: 2^x and 1/x of the special-function unit, good to 3e-7 in all.
struct FastMath {
  static __device__ __forceinline__ float sigmoid(float x) {
    return approximate_reciprocal(1.0f + approximate_exp2(-1.44269504f * x));
  }
  static __device__ __forceinline__ float tanh(float x) {
    // 1 - 2 / (e^2x + 1): no overflow, since 1 / infinity = 0.
    return fma(-2.0f, approximate_reciprocal(1.0f + approximate_exp2(2.88539008f * x)), 1.0f);
  }
  static __device__ __forceinline__ float gate(float x) { return sigmoid(x); }
  static __device__ __forceinline__ float gate_times_tanh(float a, float b) {
    return gate(a) * tanh(b);
  }
};

// For bf16 products, which err by 2^-9: one special-function instruction each.
struct HardwareMath {
  static __device__ __forceinline__ float sigmoid(float x) {
    return fma(approximate_tanh(0.5f * x), 0.5f, 0.5f);
  }
  static __device__ __forceinline__ float tanh(float x) { return approximate_tanh(x); }
  // A gate's sigmoid, of half its sum: pack_mma halves the weights, which is exact.
  static __device__ __forceinline__ float gate(float half) {
    return fma(approximate_tanh(half), 0.5f, 0.5f);
  }
  static __device__ __forceinline__ float gate_times_tanh(float half, float b) {
    return gate(half) * tanh(b);
  }
};

// Any activation. Not inlined: sixteen copies a cell would take a compiler half a minute. One that
// is added without a formula fails to compile on the host, or else makes scores NaN.
template <class Math>
__device__ __noinline__ float any_candidate(int activation, float x) {
  switch (static_cast<Activation>(activation)) {
    case kTanh:
      return Math::tanh(x);
    case kRelu:
      return at_least(0.0f, x);
    case kSigmoid:
      return Math::sigmoid(x);
    case kLinear:
      return x;
  }
  return not_a_number();
}
template <class Math>
__device__ __noinline__ float any_gate(int recurrent_activation, float x) {
  switch (static_cast<RecurrentActivation>(recurrent_activation)) {
    case kGateSigmoid:
      return Math::gate(x);
    case kGateHardSigmoid:
      return at_most(1.0f, at_least(0.0f, fma(x, 1.0f / 6.0f, 0.5f)));
  }
  return not_a_number();
}
template <class Math>
__device__ __noinline__ float any_lstm(int activation, int recurrent_activation, float i, float f,
                                       float g, float o, float& c) {
  // A layer rounds alike whatever the model's other layers are.
  if (activation == kTanh && recurrent_activation == kGateSigmoid) {
    c = fma(Math::gate(f), c, Math::gate_times_tanh(i, g));
    return Math::gate_times_tanh(o, c);
  }
  const float in = any_gate<Math>(recurrent_activation, i) * any_candidate<Math>(activation, g);
  c = fma(any_gate<Math>(recurrent_activation, f), c, in);
  return any_gate<Math>(recurrent_activation, o) * any_candidate<Math>(activation, c);
}

// kUsual: all activations of the model are tanh and sigmoid.
template <class Math, bool kUsual>
class Nonlinear {
 public:
  __device__ explicit Nonlinear(const LayerArgs& layer)
      : activation_(layer.activation), recurrent_activation_(layer.recurrent_activation) {}

  __device__ __forceinline__ float gate(float x) const {
    return kUsual ? Math::gate(x) : any_gate<Math>(recurrent_activation_, x);
  }
  __device__ __forceinline__ float candidate(float x) const {
    return kUsual ? Math::tanh(x) : any_candidate<Math>(activation_, x);
  }

  // c <- f c + i g; returns h = o act(c). Gates before activation.
  __device__ __forceinline__ float lstm(float i, float f, float g, float o, float& c) const {
    if (!kUsual) return any_lstm<Math>(activation_, recurrent_activation_, i, f, g, o, c);
    c = fma(Math::gate(f), c, Math::gate_times_tanh(i, g));
    return Math::gate_times_tanh(o, c);
  }
  // (1-z) n + z h, with z before activation and n after it.
  __device__ __forceinline__ float gru(float z, float n, float h) const {
    return fma(gate(z), h - n, n);
  }

 private:
  int activation_, recurrent_activation_;
};

}  // namespace slidecell
