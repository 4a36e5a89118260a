// The kernels of one instruction set, as plain functions. Everything above this table is ordinary
// C++; everything below it is compiled once per ISA.
//
// Two orientations compute the same numbers, bit for bit:
//   columns: SIMD lanes are windows (or batch rows). A value is [size][stride] floats, one column
//            per window; kernels work on `vectors` groups of `lanes` columns.
//   rows:    SIMD lanes are hidden units, for one window at a time. A value is [size] floats.
//
// The order of every sum is fixed, one chain of fused multiply-adds per output:
//   gate = (sum over k ascending of W_hh[k] h[k], from 0) + (b + sum over i ascending of W_ih[i]
//   x[i])
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cell_traits.h"
#include "kernels/matrix_table.h"
#include "kernels/train_table.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// out[r][col] = b[r] + sum over k of W[r][k] x[k][col]
struct ProjectColumns {
  const float* w;  // packed by pack_project_columns
  std::int64_t rows, depth;
  const float* x;  // [depth][x_stride]
  std::ptrdiff_t x_stride;
  float* out;  // [rows][out_stride]
  std::ptrdiff_t out_stride;
  std::int64_t vectors;
};

// out[r][col] = b[r] + sum over t, then f, of W[r][t * features + f] x[feature[f]][x_col + t +
// lane]: products of flattened windows that begin at neighbouring columns of a transposed series.
struct ProjectWindows {
  const float* w;  // packed by pack_linear: [blocks][1 + window * features][rows of a block]
  std::int64_t rows, window;
  const std::int32_t* feature;  // [features] rows of x
  std::int64_t features;
  const float* x;  // [F][x_stride]
  std::ptrdiff_t x_stride;
  const std::int32_t* x_col;  // [vectors] first column of each group of windows
  std::ptrdiff_t x_step;      // columns from a row of the windows to the next
  float* out;                 // [rows][out_stride]
  std::ptrdiff_t out_stride;
  std::int64_t vectors;
};

// One time step of one direction of one layer, for `vectors` groups of `lanes` columns.
struct StepColumns {
  const float* w;       // packed recurrent weights [blocks][K][rows of a block]
  const float* w_late;  // of the late product (see cell_traits.h), packed likewise
  const float* b_hh;    // the separate recurrent bias: [H], zeros where the layer has none
  std::int64_t hidden;  // H
  std::int64_t state;   // K: size of h, H or the projection's P
  std::int64_t vectors;
  const float* p;  // projected input, [H*G][p_stride] in the order (unit, gate)
  std::ptrdiff_t p_stride;
  const std::int32_t* p_col;  // [vectors] first column of each group in p
  const float* h;             // [K][stride]; null: h and c are zero
  float* c;                   // [H][stride] with a state c: read (unless h is null) and written
  float* h_out;               // [H][stride], not h
  float* scratch;             // with a late product: [2H][stride]
  std::ptrdiff_t stride;
  Activation activation;
  RecurrentActivation recurrent_activation;
};

// What a head does with each number between its products and after them. gelu is x times the normal
// distribution's share below x, gelu_tanh its form with tanh; leaky_relu is slope x below 0.
enum class HeadActivation : std::uint8_t {
  linear,
  relu,
  tanh,
  sigmoid,
  gelu,
  gelu_tanh,
  leaky_relu
};

// out[r][col] = activation(x[r][col]); out may be x. For a single window's vector of outputs: one
// row of as many groups as the vector has.
struct ActivateColumns {
  const float* x;  // [rows][stride]
  float* out;      // [rows][stride]
  std::ptrdiff_t stride;
  std::int64_t rows;
  std::int64_t vectors;
  HeadActivation activation;
  float slope;  // leaky_relu
};

// acc[r][col] += error(r, col)^2, |error(r, col)|, max(slope[r] |error(r, col)| + intercept[r], 0)
// or, with log variances v, max(v, log 1e-6) + error^2 / variance; with acc_stride 0 the sum over r
// ascending, from 0, is added to the one acc. error(r, col) = pred[r][col] -
// truth[truth_row[r]][truth_col[v] + lane].
struct ErrorColumns {
  const float* pred;  // [rows][stride]
  std::int64_t rows;
  std::int64_t vectors;
  const float* truth;  // [F][truth_stride]; null: truth is zero
  std::ptrdiff_t truth_stride;
  const std::int32_t* truth_row;  // [rows]
  const std::int32_t* truth_col;  // [vectors]
  float* acc;                     // [rows][acc_stride]; acc_stride 0: one sum over all rows
  std::ptrdiff_t acc_stride;
  std::ptrdiff_t stride;
  const float* log_variance;  // [rows][stride]
  const float* slope;         // [rows], as intercept, of calibrated errors
  const float* intercept;
};

// out [panels][gates][lanes] = b + W x, for one x. `gates` (1 to 4) rows share a unit.
struct ProjectRow {
  const float* w;  // packed by pack_row: [panels][1 + depth][gates][lanes]
  std::int64_t panels, depth, gates;
  const float* x;  // [depth]
  float* out;      // [panels][gates][lanes]
  // The weights as bf16, in lanes of two: gate 2p in the low half and 2p+1 in the high half of
  // [panels][depth][ceil(gates/2)][lanes]; then w serves for the bias only. Null: float32.
  const float* w_bf16;
};

// What is left of a step when the sums are there: the nonlinear part, elementwise.
struct CellRow {
  std::int64_t hidden;  // H
  const float* sums;    // recurrent sums [panels][gates][lanes]; null: h and c are zero
  const float* p;       // projected input [panels][G][lanes]
  const float* b_hh;    // the separate recurrent bias: [panels][lanes]
  const float* h;       // [H]
  float* c;             // [H] with a state c: read (unless sums is null) and written
  float* h_out;         // [H]; in the first half of a step: what the late product multiplies
  float* scratch;       // [panels][lanes] from one half of a step to the other
  Activation activation;
  RecurrentActivation recurrent_activation;
};

// acc plus the errors of one predicted row, combined as ErrorColumns says.
struct ErrorRow {
  float acc;
  const float* pred;  // [rows]
  std::int64_t rows;
  const float* truth;             // [F]; null: truth is zero
  const std::int32_t* truth_row;  // [rows]
  const float* log_variance;      // [rows]
  const float* slope;             // [rows], as intercept, of calibrated errors
  const float* intercept;
};

// The steps of one form of a cell.
struct CellKernels {
  void (*columns)(const StepColumns&);
  void (*row)(const CellRow&);        // after the last product
  void (*first_row)(const CellRow&);  // with a late product: after the first one; else null
};

struct LowKernels;  // low_table.h

struct KernelTable {
  const char* isa;
  std::int64_t lanes;
  std::int64_t block_rows;  // rows per block of packed column weights of a plain linear map
  // Hidden units per block of packed recurrent weights, by the number of gates that a product has.
  std::int64_t block_units[kMaxGates + 1];
  std::int64_t vector_step;  // groups of columns that a kernel holds in registers at once

  void (*project)(const ProjectColumns&);
  void (*project_row)(const ProjectRow&);
  void (*project_windows)(const ProjectWindows&);
  void (*activate)(const ActivateColumns&);
  ByForm<CellKernels> cells;

  void (*add_squared_error)(const ErrorColumns&);
  void (*add_absolute_error)(const ErrorColumns&);
  void (*add_gaussian_error)(const ErrorColumns&);
  void (*add_calibrated_error)(const ErrorColumns&);
  void (*subtract)(const ErrorColumns&);  // acc[r] = error(r), acc_stride must be `stride`
  float (*squared_error_row)(const ErrorRow&);
  float (*absolute_error_row)(const ErrorRow&);
  float (*gaussian_error_row)(const ErrorRow&);
  float (*calibrated_error_row)(const ErrorRow&);

  TrainKernels train;

  const LowKernels* low;        // 8-bit products
  const LowKernels* low_tiles;  // the same on tiles, which ask_for_matrix asks for; null: none

  // Products of bf16 numbers where this CPU has instructions for them; null: none.
  const MatrixKernels* matrix;
  // Where they need registers that the operating system grants a process or refuses: asks for them,
  // and returns why not. Null: they need none.
  std::string (*ask_for_matrix)();
  const KernelTable* without_matrix;  // what serves where it refuses
};

}  // namespace slidecell
