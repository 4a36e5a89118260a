// One recurrent layer: its shape and its weights, in torch's order and names.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/span.hpp"

namespace slidecell {

enum class Cell : std::uint8_t { lstm, gru, rnn };
enum class Activation : std::uint8_t { tanh, relu, sigmoid, linear };
enum class RecurrentActivation : std::uint8_t { sigmoid, hard_sigmoid };

// Their names in model files: "lstm", "gru", "rnn"; "tanh", ...
SLIDECELL_API std::vector<std::pair<const char*, Cell>> cells_by_name();
SLIDECELL_API std::vector<std::pair<const char*, Activation>> activations_by_name();
SLIDECELL_API std::vector<std::pair<const char*, RecurrentActivation>>
recurrent_activations_by_name();

// What distinguishes one cell from another for whoever holds its weights and states.
struct CellInfo {
  const char* title = "";        // "an LSTM", for texts
  std::int64_t gates = 0;        // rows of weights per hidden unit
  bool has_c = false;            // a state c beside h
  bool has_projection = false;   // takes proj_size
  bool has_reset_after = false;  // comes in two forms, by the place of its reset gate
};
SLIDECELL_API CellInfo info_of(Cell cell);

// hard_sigmoid(x) = clip(x/6 + 1/2, 0, 1).
struct SLIDECELL_API LayerSpec {
  Cell cell = Cell::lstm;
  std::int64_t input_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t proj_size = 0;  // LSTM only; 0: no projection
  bool bidirectional = false;
  Activation activation = Activation::tanh;                                 // candidate and output
  RecurrentActivation recurrent_activation = RecurrentActivation::sigmoid;  // gates
  bool reset_after = true;  // GRU only: reset gate after (torch, cuDNN) or before the product

  std::int64_t gates() const;  // rows of weights per hidden unit
  bool has_c() const;          // whether there is a state c beside h (LSTM)
  std::int64_t directions() const { return bidirectional ? 2 : 1; }
  std::int64_t state_size() const { return proj_size > 0 ? proj_size : hidden_size; }  // of h
  std::int64_t output_size() const { return directions() * state_size(); }
};

// Weights of one direction. G = 4 gates in the order i f g o (LSTM), 3 in the order r z n (GRU), or
// 1 (RNN: h' = activation(W_ih x + b_ih + W_hh h + b_hh)).
struct DirectionWeights {
  Span<const float> w_ih;  // [G*H, I]
  Span<const float> w_hh;  // [G*H, P or H]
  Span<const float> b_ih;  // [G*H] or empty
  Span<const float> b_hh;  // [G*H] or empty
  Span<const float> w_hr;  // [P, H] where proj_size > 0
};

struct LayerWeights {
  DirectionWeights forward;
  DirectionWeights reverse;  // where bidirectional
};

}  // namespace slidecell
