// The formulas of an Elman network: h' = act(W_ih x + b_ih + W_hh h + b_hh).
#pragma once

#include "kernels/cell_traits.h"
#include "slidecell/layer.hpp"

namespace {

struct Rnn {
  static constexpr slidecell::CellForm form = slidecell::CellForm::rnn;

  static inline bool is_relu(slidecell::Activation trained) {
    switch (trained) {
      case slidecell::Activation::relu:
        return true;
      case slidecell::Activation::tanh:
      case slidecell::Activation::sigmoid:
      case slidecell::Activation::linear:
        break;
    }
    return false;
  }

  template <class Activations, class Unit, class V>
  static inline __attribute__((always_inline)) V last(const Activations& act, const Unit& unit,
                                                      V& /*c*/) {
    return act.candidate(unit.gate(0));
  }

  // Training, of the activations that CellTraits::trains.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) V forward(const Unit& unit, V (&gates)[1]) {
    gates[0] = is_relu(unit.a.activation) ? max(V(0.0f), gates[0]) : tanh(gates[0]);
    return gates[0];
  }

  // The derivative of relu is 1 where its value is positive: at least 2^-126, since denormals are
  // flushed to zero.
  template <class Unit, class V>
  static inline __attribute__((always_inline)) void backward(const Unit& unit, V d, V& /*d_state*/,
                                                             V (&d_gates)[1]) {
    const V one(1.0f), h = unit.gate(0);
    d_gates[0] = d * (is_relu(unit.a.activation) ? min(one, h * V(0x1p126f)) : one - h * h);
  }
};

}  // namespace
