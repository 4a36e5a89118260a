// The formulas of an Elman network: h' = act(W_ih x + b_ih + W_hh h + b_hh).
#pragma once

#include "kernels/cell_traits.h"
#include "slidecell/layer.hpp"

namespace {

struct Rnn {
  static constexpr slidecell::CellForm form = slidecell::CellForm::rnn;

  template <class Activations, class Unit, class V>
  static inline __attribute__((always_inline)) V last(const Activations& act, const Unit& unit,
                                                      V& /*c*/) {
    return act.candidate(unit.gate(0));
  }

  // Training, of tanh or relu.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) V forward(const Unit& unit, V (&gates)[1]) {
    const bool relu = unit.a.activation == slidecell::Activation::relu;
    gates[0] = relu ? max(V(0.0f), gates[0]) : tanh(gates[0]);
    return gates[0];
  }

  // The derivative of relu is 1 where its value is positive: at least 2^-126, since denormals are
  // flushed to zero.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) void backward(const Unit& unit, V d, V& /*d_state*/,
                                                             V (&d_gates)[1]) {
    const V one(1.0f), h = unit.gate(0);
    const bool relu = unit.a.activation == slidecell::Activation::relu;
    d_gates[0] = d * (relu ? min(one, h * V(0x1p126f)) : one - h * h);
  }
};

}  // namespace
