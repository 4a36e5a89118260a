// Kernels that multiply bf16 numbers and add up in float32: AMX tiles, or AVX512-BF16's dot
// products. Lanes are windows, as in the column orientation of kernel_table.h.
//
// A float32 number is split into parts, each a bf16 number: w = w_0 + w_1 + w_2, h likewise, and
// the leading products are added up: 1 part, w_0 h_0 ("medium"); 2 parts, 3 products ("high"); 3
// parts, 6 products ("highest").
//
// Two successive units of one window share a 32-bit word, the even one in its low half: a pair.
// That is what both units multiply, and a column of pairs is still one window.
//
// Cells are the usual ones, of tanh and sigmoid. Their rows of weights, biases and projected inputs
// are scaled by -log2(e) (sigmoid) or 2 log2(e) (tanh), so that the activations begin with 2^x and
// not with a product.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell_traits.h"
#include "kernels/tile_config.h"

namespace slidecell {

constexpr int kMaxParts = 3;

// Weights of blocks of rows, as pairs: [parts][blocks][pairs / chunk][rows of a block][chunk].
struct MatrixWeights {
  const std::uint32_t* pairs;
  std::ptrdiff_t part;  // words from one part to the next
};

// out[r][col] = b[r] + sum over k of W[r][k] x[k][col]
struct MatrixProject {
  MatrixWeights w;
  const float* bias;  // [rows]
  std::int64_t rows;
  std::int64_t pairs;      // of x: a multiple of the kernels' chunk
  const std::uint32_t* x;  // [parts][pairs][stride]
  float* out;              // [rows][stride]
  std::ptrdiff_t stride;
  std::int64_t vectors;
};

// One time step of one layer, for `vectors` groups of `lanes` columns.
struct MatrixStep {
  MatrixWeights w, w_late;  // w_late: of the late product (see cell_traits.h)
  const float* b_hh;        // the separate recurrent bias: [H]
  std::int64_t hidden;      // H
  std::int64_t pairs;       // of h: a multiple of the kernels' chunk
  std::int64_t vectors;
  const float* p;  // projected input, [H*G][p_stride] in the order (unit, gate)
  std::ptrdiff_t p_stride;
  const std::int32_t* p_col;     // [vectors] first column of each group in p
  const std::uint32_t* h_pairs;  // [parts][pairs][stride]; null: h and c are zero
  const float* h;                // [H][stride]
  float* c;      // [H][stride] with a state c: read (unless h_pairs is null) and written
  float* h_out;  // [H][stride], not h
  std::uint32_t* h_pairs_out;  // [parts][pairs][stride], not h_pairs
  float* scratch;              // with a late product: [H][stride]
  std::uint32_t* late_pairs;   // with a late product: what it multiplies, as h_pairs
  std::ptrdiff_t stride;
};

struct MatrixKernels {
  const char* name;
  std::size_t index;        // among the kinds of matrix kernels, below kMatrixKinds
  std::int64_t lanes;       // columns of a group
  std::int64_t chunk;       // pairs of weights that lie together
  std::int64_t block_rows;  // rows per block of weights of a plain linear map
  // Hidden units per block of recurrent weights, by the number of gates that a product has.
  std::int64_t block_units[kMaxGates + 1];
  std::int64_t vector_step;  // groups of columns that are multiplied at once
  bool has_tiles;            // a matrix unit, not only dot products
  bool has_halves;           // one part: activated in float16

  // With tiles: what surrounds all other calls on a thread. begin_tiles configures the registers
  // and fills `before`; end_tiles leaves them as they were, for another library may count on what
  // it configured. Their content is lost. Without tiles: null.
  void (*begin_tiles)(TileConfig& before);
  void (*end_tiles)(const TileConfig& before);

  // Indexed by the number of parts - 1.
  void (*project[kMaxParts])(const MatrixProject&);
  ByForm<void (*)(const MatrixStep&)> step[kMaxParts];
};

constexpr std::size_t kMatrixKinds = 3;  // AVX512-BF16, AMX, and one of the tests

const MatrixKernels& matrix_avx512_bf16();
const MatrixKernels& matrix_amx();
const MatrixKernels& matrix_amx_fp16();

}  // namespace slidecell
