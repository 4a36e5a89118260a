// Gradients of one LSTM, GRU or RNN layer: a forward pass that keeps what the backward pass needs,
// and that backward pass.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slidecell/export.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// Rows [N,T,size]: number i of step t of window n is data[n * row + t * step + i]. Null: none.
// A layer runs back in time over a sequence whose data is at the last step and whose step is
// negative.
template <class T>
struct Sequence {
  T* data = nullptr;
  std::ptrdiff_t row = 0;
  std::ptrdiff_t step = 0;
};

struct TrainingInput {
  std::int64_t N = 0;         // windows
  std::int64_t T = 0;         // steps, at least 1
  Sequence<const float> x;    // [N,T,I]
  const float* h0 = nullptr;  // [N,H]; null: zeros
  const float* c0 = nullptr;  // [N,H] LSTM, null if and only if h0 is
};

// Outputs to be written; null: not wanted.
struct TrainingOutput {
  Sequence<float> out;   // [N,T,H]
  float* h_n = nullptr;  // [N,H]
  float* c_n = nullptr;  // [N,H] LSTM
};

// Gradients of a scalar with respect to a layer's outputs. Null: zeros.
struct OutputGradients {
  Sequence<const float> out;   // [N,T,H]
  const float* h_n = nullptr;  // [N,H]
  const float* c_n = nullptr;  // [N,H] LSTM
};

// Gradients of a scalar with respect to a layer's inputs and weights. Null: not wanted.
struct InputGradients {
  Sequence<float> x;      // [N,T,I]
  float* h0 = nullptr;    // [N,H]
  float* c0 = nullptr;    // [N,H] LSTM
  float* w_ih = nullptr;  // [G*H, I]
  float* w_hh = nullptr;  // [G*H, H]
  float* b_ih = nullptr;  // [G*H]
  float* b_hh = nullptr;  // [G*H]
};

// Returns whether the functions below take a layer: an LSTM without projection, a GRU with the
// reset gate after the product, with tanh and sigmoid; an RNN with tanh or relu. They run one
// direction and ignore `bidirectional`.
SLIDECELL_API bool is_trainable(const LayerSpec& spec);

// Returns the number of floats that training_forward keeps.
SLIDECELL_API std::int64_t training_saved_size(const LayerSpec& spec, std::int64_t N,
                                               std::int64_t T);

// Runs the layer. saved [training_saved_size()] for training_backward, or null. Every number is
// the same on any number of threads. num_threads 0: the default.
// Throws std::invalid_argument on a spec, sizes or weights that do not fit.
SLIDECELL_API void training_forward(const LayerSpec& spec, const DirectionWeights& weights,
                                    const TrainingInput& input, const TrainingOutput& output,
                                    float* saved, int num_threads = 0);

// Writes the gradients (it does not add them). spec, weights and input are those of the forward
// pass that wrote `saved`. Every number is the same on any number of threads.
SLIDECELL_API void training_backward(const LayerSpec& spec, const DirectionWeights& weights,
                                     const TrainingInput& input, const float* saved,
                                     const OutputGradients& given, const InputGradients& wanted,
                                     int num_threads = 0);

}  // namespace slidecell
