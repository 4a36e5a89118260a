// Kernels whose recurrent products are made of 8-bit whole numbers ("low"). A layer's h lies
// between -1 and 1, so that one scale serves all of it: a number is coded as round(127 h), to the
// nearest, even where two are as near. Weights are coded as -127 .. 127, each row by its own scale.
// Sums are int32, so all instruction sets give equal ones: gate = sum scale + projected input, in
// float32. The weights of the input are rounded to bf16, whose products and sums are float32, too.
//
// Cells of tanh and sigmoid have scaled rows of projected input, biases and scales, as
// kernels/matrix_table.h says; those with other activations have them as they are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/tile_config.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// The longest row whose sum fits into 31 bits: 2^17 127 127 < 2^31.
constexpr std::int64_t kMaxLowSize = std::int64_t{1} << 17;

// By how much a coarse gate may err, and for how many steps it serves: their errors add up to 0.005
// at most.
constexpr double kCoarseError = 1.5e-4;
constexpr std::int64_t kCoarseSteps = 32;

// The weights of a product of h. A word holds the codes of `per_word` successive inputs.
// columns: words [blocks][depth / per_word / chunk][rows of a block][chunk], start and scale
// [blocks * rows];
// row: words [panels][depth / per_word][gates][lanes], start and scale [panels][gates][lanes].
struct LowWeights {
  const std::uint32_t* words;
  const std::int32_t* start;  // what a sum starts at: -offset times the sum of the row's codes
  const float* scale;
};

// One time step, as StepColumns says; h_out may be h.
struct LowStep {
  LowWeights w, w_late;
  const float* b_hh;
  std::int64_t hidden;
  std::int64_t vectors;
  const float* p;
  std::ptrdiff_t p_stride;
  const std::int32_t* p_col;
  const float* h;  // [H][stride]; null: h and c are zero
  float* c;
  float* h_out;
  float* codes;    // [words of H][stride] lanes of 32 bits
  float* scratch;  // with a late product: [2H][stride]
  std::ptrdiff_t stride;
  Activation activation;
  RecurrentActivation recurrent_activation;
  bool scaled;  // rows, for tanh and sigmoid
  bool coarse;  // few steps: the gates that say how much of a state stays may err by kCoarseError
};

// Sums [rows][stride] of codes of h [depth][stride], as a step makes them. For the tests.
struct LowSums {
  LowWeights w;  // rows in blocks of block_units[1]
  std::int64_t rows, depth;
  std::int64_t vectors;
  const float* h;
  float* codes;
  std::int32_t* out;
  std::ptrdiff_t stride;
};

// Sums [panels][gates][lanes], as float32 numbers, of one h.
struct LowProjectRow {
  LowWeights w;
  std::int64_t panels, words, gates;
  const float* codes;  // [words] lanes of 32 bits
  float* out;
};

struct LowCellRow : CellRow {
  const float* scale;   // of the sums of the half: [panels][gates][lanes]
  bool scaled, coarse;  // as in LowStep
};

struct LowCellKernels {
  void (*columns)(const LowStep&);
  void (*row)(const LowCellRow&);        // after the last product
  void (*first_row)(const LowCellRow&);  // with a late product: after the first one; else null
};

// With tiles: of the column orientation alone, and of scaled rows.
struct LowKernels {
  const char* name;          // of the instructions
  std::int64_t per_word;     // codes in a word of 32 bits: bytes, or two whole numbers of 16 bits
  std::int32_t offset;       // is added to a code of h where its byte has no sign
  std::int64_t chunk;        // words of weights that lie together in columns
  std::int64_t block_rows;   // rows per block of weights of the widest product
  std::int64_t vector_step;  // groups of columns that are multiplied at once
  // Hidden units per block, by the number of gates that a product has.
  std::int64_t block_units[kMaxGates + 1];

  // With tiles: as MatrixKernels has them. Without: null.
  void (*begin_tiles)(TileConfig& before);
  void (*end_tiles)(const TileConfig& before);

  void (*code_row)(const float* h, std::int64_t size, float* codes);
  void (*project_row)(const LowProjectRow&);
  void (*sums)(const LowSums&);
  ByForm<LowCellKernels> cells;
};

#if defined(__x86_64__)
const LowKernels& low_avx512_vnni();
const LowKernels& low_amx();
#elif defined(__aarch64__)
const LowKernels& low_neon_dot();
#endif

}  // namespace slidecell
