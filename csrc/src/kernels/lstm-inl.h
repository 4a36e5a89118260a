// The formulas of an LSTM, gates i f g o.
#pragma once

#include "kernels/cell_traits.h"

namespace {

struct Lstm {
  static constexpr slidecell::CellForm form = slidecell::CellForm::lstm;

  // c becomes f c + i g; returns o act(c). The order is that of the least live values: with 16
  // registers, another one spills more of them.
  template <class Activations, class Unit, class V>
  static inline __attribute__((always_inline)) V last(const Activations& act, const Unit& unit,
                                                      V& c) {
    V gates[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) gates[g] = unit.gate(g);
    c = unit.c();
    return act.in_one([&](auto own) __attribute__((always_inline)) {
      const V ig = own.gate_times_candidate(gates[0], gates[2]);
      c = fma(own.memory_gate(gates[1]), c, ig);
      return own.gate_times_output(gates[3], c);
    });
  }

  // Training: gates are sums, and are activated.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) V forward(const Unit& unit, V (&gates)[4]) {
    gates[0] = sigmoid(gates[0]);
    gates[1] = sigmoid(gates[1]);
    gates[2] = tanh(gates[2]);
    gates[3] = sigmoid(gates[3]);
    V c = gates[0] * gates[2];
    if (unit.a.c) c = fma(gates[1], unit.c(), c);
    unit.set_c(c);
    return gates[3] * tanh(c);
  }

  // With h = o tanh(c): dh/do_sum = h (1 - o), and dh/dc = o (1 - tanh(c)^2) = o - h h / o, which
  // needs no second tanh. sigmoid() keeps o above 2^-87, so the quotient exists. d is the gradient
  // of h, d_c that of c after the step, then before it.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) void backward(const Unit& unit, V d, V& d_state,
                                                             V (&d_gates)[4]) {
    const V one(1.0f);
    const V i = unit.gate(0), f = unit.gate(1), g = unit.gate(2), o = unit.gate(3);
    const V h = unit.h();
    const V d_c = fma(d, o - quotient(h * h, o), d_state);
    d_gates[0] = d_c * g * (i * (one - i));
    d_gates[1] = unit.has_c_before() ? d_c * unit.c_before() * (f * (one - f)) : V(0.0f);
    d_gates[2] = d_c * i * (one - g * g);
    d_gates[3] = d * h * (one - o);
    d_state = d_c * f;
  }
};

}  // namespace
