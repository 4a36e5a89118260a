// What distinguishes one cell from another, as data: packing, layers, training and kernels read it.
// Its formulas lie in lstm-inl.h, gru-inl.h and rnn-inl.h. A new cell is a new case below, a file
// of formulas, and its name in cells-inl.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slidecell/layer.hpp"

namespace slidecell {

// A cell as the kernels know it: variants whose products differ are forms of their own.
enum class CellForm : std::uint8_t { lstm, gru, gru_reset_before, rnn };
constexpr std::size_t kCellForms = 4;

constexpr int kMaxGates = 4;

// Gates first .. first+count-1 of W_hh, in torch's order, whose products are made together.
struct GateProduct {
  int first = 0;
  int count = 0;
};

// Where a product's rows of gates lie in a training tile ([tile_gates][H] rows) and in torch's
// weights.
struct TrainGates {
  int first = 0;  // gate of the tile that is the product's first
  int count = 0;  // gates
  int shift = 0;  // its gate g is torch's gate (g + shift) % count

  std::int64_t torch_gate(std::int64_t g) const { return (g + shift) % count; }
};

struct CellTraits {
  int gates = 0;                // rows of weights per unit
  int candidate = 0;            // the gate that `activation` serves; the others have
                                // `recurrent_activation`
  bool has_c = false;           // a state c beside h
  bool has_projection = false;  // takes proj_size
  GateProduct of_h;             // the gates whose recurrent product is one of h
  GateProduct late;             // those whose product waits for these gates; count 0: none
  int separate_bias = -1;       // the gate whose recurrent bias stays outside of its sum; -1: none

  // Training; tile_gates 0: there are no kernels.
  int tile_gates = 0;        // gates that a training tile keeps
  TrainGates input;          // those that W_ih x enters: the last ones
  TrainGates recurrent;      // those that W_hh h enters: the first ones
  bool carries_h = false;    // h reaches the next h also past the gates
  bool trains_relu = false;  // beside tanh

  constexpr bool trains(Activation activation) const {
    switch (activation) {
      case Activation::tanh:
        return tile_gates > 0;
      case Activation::relu:
        return trains_relu;
      case Activation::sigmoid:
      case Activation::linear:
        break;
    }
    return false;
  }
  static constexpr bool trains(RecurrentActivation activation) {
    switch (activation) {
      case RecurrentActivation::sigmoid:
        return true;
      case RecurrentActivation::hard_sigmoid:
        break;
    }
    return false;
  }
};

constexpr CellTraits traits_of(CellForm form) {
  CellTraits t;
  switch (form) {
    case CellForm::lstm:  // i f g o
      t.gates = 4;
      t.candidate = 2;
      t.has_c = true;
      t.has_projection = true;
      t.of_h = {0, 4};
      t.tile_gates = 4;
      t.input = {0, 4, 0};
      t.recurrent = {0, 4, 0};
      break;
    case CellForm::gru:  // r z n; in a training tile m r z n, where m = W_hn h + b_hn
      t.gates = 3;
      t.candidate = 2;
      t.of_h = {0, 3};
      t.separate_bias = 2;
      t.tile_gates = 4;
      t.input = {1, 3, 0};
      t.recurrent = {0, 3, 2};
      t.carries_h = true;
      break;
    case CellForm::gru_reset_before:  // r z n, where W_hn multiplies r h
      t.gates = 3;
      t.candidate = 2;
      t.of_h = {0, 2};
      t.late = {2, 1};
      break;
    case CellForm::rnn:
      t.gates = 1;
      t.candidate = 0;
      t.of_h = {0, 1};
      t.tile_gates = 1;
      t.input = {0, 1, 0};
      t.recurrent = {0, 1, 0};
      t.trains_relu = true;
      break;
  }
  return t;
}

// One T for every form.
template <class T>
struct ByForm {
  T values[kCellForms];
  constexpr T& operator[](CellForm form) { return values[static_cast<std::size_t>(form)]; }
  constexpr const T& operator[](CellForm form) const {
    return values[static_cast<std::size_t>(form)];
  }
};

}  // namespace slidecell
