// What training adds to a kernel table: steps that keep what the backward pass needs, the backward
// steps, and the gradients of weights.
//
// Values lie in tiles of kTrainTile windows, [size][kTrainTile] floats, on every ISA: what one
// kept, another can read. Lanes beyond a tile's last window hold anything; no other lane and no sum
// sees them.
//
// Gates are kept gate by gate, [G][H][kTrainTile] with G = CellTraits::tile_gates, in an order in
// which the rows that W_hh h enters are the first ones and those that W_ih x enters the last ones:
//   LSTM: i f g o. GRU: m r z n, where m = W_hn h + b_hn and n = tanh(W_in x + b_in + r m).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell_traits.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// Three groups of columns in 16 lanes, six in 8, twelve in 4: what the kernels hold in registers.
constexpr std::int64_t kTrainTile = 48;

// One step of a layer with tanh and sigmoid, or of an RNN with tanh or relu; a GRU's reset gate
// stands after the product.
struct TrainStep {
  const float* w;  // [blocks] of units hidden units: biases [G][units], then W_ih [I][rows][units],
                   // then W_hh [H][rows][units], where rows are the gates that the product enters
  std::int64_t hidden;    // H
  std::int64_t input;     // I
  std::int64_t vectors;   // groups of columns
  const float* x;         // [I][kTrainTile]
  const float* h;         // [H][kTrainTile]; null: zero
  const float* c;         // with a state c: [H][kTrainTile]; null: zero
  float* gates;           // [G*H][kTrainTile] after activation; null: not kept
  float* c_out;           // with a state c: [H][kTrainTile], may be c
  float* h_out;           // [H][kTrainTile], not h
  Activation activation;  // RNN: tanh or relu
};

// One step back: from the gradient of h to those of the gates before activation.
struct BackwardStep {
  const float* w;  // W_hh transposed, as ProjectColumns::w: H rows, one column per row of d_next
  std::int64_t hidden;
  std::int64_t vectors;
  const float* gates;     // [G*H][kTrainTile] of this step
  const float* h;         // [H][kTrainTile] after this step
  const float* h_before;  // [H][kTrainTile]; null: zero
  const float* c_before;  // [H][kTrainTile] with a state c; null: zero
  const float* d_next;    // [G*H][kTrainTile]: d_gates of the step after; null: there is none
  const float* d_out;     // [H][kTrainTile]: what else reaches h; null: nothing
  float* d_state;  // [H][kTrainTile] with a state c: the gradient of c after this step, replaced by
                   // that of c before it; with carries_h: likewise what reaches h past the gates
  float* d_gates;  // [G*H][kTrainTile], not d_next
  Activation activation;  // as TrainStep's
};

// sums[r][q] += sum over n ascending of d[r][n] z[n][q] for q below `width`. Rows are taken
// product_rows at a time: d and sums have as many as its next multiple; rows of z and sums as many
// numbers as the next multiple of lanes.
struct AddProducts {
  const float* d;  // [rows][kTrainTile]
  std::int64_t rows;
  const float* z;  // [columns][z_stride]
  std::ptrdiff_t z_stride;
  std::int64_t columns;  // n: at most kTrainTile
  std::int64_t width;
  float* sums;  // [rows][sums_stride]
  std::ptrdiff_t sums_stride;
  // What is needed soon, from here to there: fetched meanwhile, one line of the cache per n.
  const float* ahead;
  const float* ahead_end;
};

// out[c][r] = in[r][c]
struct Transpose {
  const float* in;  // [rows][in_stride]
  std::int64_t rows, columns;
  std::ptrdiff_t in_stride;
  float* out;  // [columns][out_stride]
  std::ptrdiff_t out_stride;
};

// The two passes of one form of a cell; null where it has none.
struct TrainCellKernels {
  void (*forward)(const TrainStep&);
  void (*backward)(const BackwardStep&);
};

struct TrainKernels {
  std::int64_t block_units;  // hidden units per block of TrainStep::w
  std::int64_t product_rows;
  ByForm<TrainCellKernels> cells;
  const float* (*add_products)(const AddProducts&);  // returns what is left of `ahead`
  void (*transpose)(const Transpose&);
};

}  // namespace slidecell
