// The formulas of a GRU, gates r z n, with the reset gate after or before the recurrent product.
#pragma once

#include "kernels/cell_traits.h"

namespace {

// h' = (1-z) n + z h = n + z (h - n).
template <class V>
inline __attribute__((always_inline)) V gru_blend(V z, V n, V h) {
  return fma(z, h - n, n);
}

// n = act(W_in x + b_in + r (W_hn h + b_hn)).
struct Gru {
  static constexpr slidecell::CellForm form = slidecell::CellForm::gru;

  // z comes before n, whose chain waits for r.
  template <class Activations, class Unit, class V>
  static inline __attribute__((always_inline)) V last(const Activations& act, const Unit& unit,
                                                      V& /*c*/) {
    const V r = act.gate(unit.gate(0));
    const V z = act.memory_gate(unit.gate(1));
    const V n = act.candidate(fma(r, unit.sum(2) + unit.bias(), unit.x(2)));
    return gru_blend(z, n, unit.h());
  }

  // Training: gates are m r z n, where m = W_hn h + b_hn.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) V forward(const Unit& unit, V (&gates)[4]) {
    gates[1] = sigmoid(gates[1]);
    gates[2] = sigmoid(gates[2]);
    gates[3] = tanh(fma(gates[1], gates[0], gates[3]));
    return gru_blend(gates[2], gates[3], unit.h_before());
  }

  // d is the gradient of h, d_state the part of it that z passes on.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) void backward(const Unit& unit, V d, V& d_state,
                                                             V (&d_gates)[4]) {
    const V one(1.0f);
    const V m = unit.gate(0), r = unit.gate(1), z = unit.gate(2), n = unit.gate(3);
    const V h = unit.h_before();
    const V kept = one - z;
    const V d_n = d * kept * (one - n * n);
    const V d_m = d_n * r;
    d_gates[0] = d_m;
    d_gates[1] = d_m * m * (one - r);
    d_gates[2] = d * (h - n) * (z * kept);
    d_gates[3] = d_n;
    d_state = d * z;
  }
};

// n = act(W_in x + b_in + W_hn (r h) + b_hn).
struct GruResetBefore {
  static constexpr slidecell::CellForm form = slidecell::CellForm::gru_reset_before;

  // Keeps z before activation; returns r h, of which nothing is read where the state is zero.
  template <class Activations, class Unit>
  static inline __attribute__((always_inline)) auto first(const Activations& act,
                                                          const Unit& unit) {
    unit.keep(unit.gate(1));
    if (!unit.started()) return decltype(unit.h())(0.0f);
    return act.gate(unit.gate(0)) * unit.h();
  }

  template <class Activations, class Unit, class V>
  static inline __attribute__((always_inline)) V last(const Activations& act, const Unit& unit,
                                                      V& /*c*/) {
    const V n = act.candidate(unit.gate(2));
    return gru_blend(act.memory_gate(unit.kept()), n, unit.h());
  }
};

}  // namespace
