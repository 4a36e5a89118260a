// Weights in the layouts that the kernels of one ISA stream. Gate orders and paddings are dealt
// with here and nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/aligned.h"
#include "kernels/kernel_table.h"
#include "kernels/low_table.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// out = W x + b in both orientations.
struct PackedLinear {
  std::int64_t rows = 0;
  std::int64_t depth = 0;
  std::int64_t gates = 1;  // rows that share a unit in the row orientation
  AlignedFloats columns;   // [blocks][1 + depth][4*units]
  AlignedFloats row;       // [panels][1 + depth][gates][lanes]
  AlignedFloats row_bf16;  // as ProjectRow::w_bf16; recurrent layers only
};

// w [rows, depth], b [rows] or null (zeros).
PackedLinear pack_linear(const KernelTable& kernels, std::int64_t rows, std::int64_t depth,
                         const float* w, const float* b);

// What recurrent products are made of: float32 numbers, or 8-bit codes; coarse: for windows of few
// steps (LowStep::coarse); tile: by KernelTable::low_tiles, for columns alone.
enum class Products : std::uint8_t { float32, codes, coarse_codes, tile_codes, coarse_tile_codes };
constexpr std::size_t kProductKinds = 5;

constexpr bool on_tiles(Products products) {
  return products == Products::tile_codes || products == Products::coarse_tile_codes;
}
constexpr bool is_coarse(Products products) {
  return products == Products::coarse_codes || products == Products::coarse_tile_codes;
}
constexpr Products put_on_tiles(Products products) {
  return is_coarse(products) ? Products::coarse_tile_codes : Products::tile_codes;
}
// What serves as many steps as there may be.
constexpr Products for_many_steps(Products products) {
  if (!is_coarse(products)) return products;
  return on_tiles(products) ? Products::tile_codes : Products::codes;
}
// The 8-bit kernels of products of codes.
inline const LowKernels& low_kernels(const KernelTable& kernels, Products products) {
  return on_tiles(products) ? *kernels.low_tiles : *kernels.low;
}

// Weights as 8-bit codes, in the layout of one orientation of 8-bit kernels (kernels/low_table.h).
struct PackedCodes {
  AlignedWords words;
  AlignedBuffer<std::int32_t> start;
  AlignedFloats scale;
  LowWeights view() const { return {words.data(), start.data(), scale.data()}; }
};

// One direction of one layer. Its recurrent products are float32 or, of 8-bit codes, `low`: then
// the forms of the others are empty.
struct PackedDirection {
  PackedLinear input;       // rows in the order (unit, gate); biases that need no product included
  PackedLinear projection;  // of h, where proj_size > 0
  CellForm form = CellForm::lstm;
  std::int64_t recurrent_gates = 0, late_gates = 0;  // of the products of h, and of the late one
  AlignedFloats recurrent_columns, late_columns;     // late: empty where there is no such product
  AlignedFloats recurrent_row, late_row;             // as PackedLinear::row, the bias zero
  AlignedFloats recurrent_row_bf16;
  AlignedFloats b_hh;  // the separate recurrent bias: [panels][lanes], also [H]
  PackedCodes low_columns, low_late_columns;
  PackedCodes low_row, low_late_row;  // empty on tiles

  Products products = Products::float32;
  bool low_scaled = false;  // rows of codes and of their input: see kernels/low_table.h
  bool low() const { return products != Products::float32; }
};

using PackedLayer = std::vector<PackedDirection>;  // [directions]

// The input projection alone, without its bf16 form.
PackedLinear pack_input(const KernelTable& kernels, const LayerSpec& spec,
                        const DirectionWeights& weights);
// The same with weights that are rounded to bf16 in both orientations, which give the same bits.
PackedLinear pack_bf16_input(const KernelTable& kernels, const LayerSpec& spec,
                             const DirectionWeights& weights);

PackedDirection pack_direction(const KernelTable& kernels, const LayerSpec& spec,
                               const DirectionWeights& weights);

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
inline std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

}  // namespace slidecell
