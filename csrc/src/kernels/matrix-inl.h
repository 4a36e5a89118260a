// The kernels of a matrix unit or of dot instructions. Blocks (dot-inl.h, tile-inl.h) makes the
// products of a block of rows and hands the sums on, in pieces.
#pragma once

#include "kernels/cells-inl.h"
#include "kernels/matrix_cells-inl.h"

namespace {

inline std::int64_t blocks_of(std::int64_t rows, std::int64_t block) {
  return (rows + block - 1) / block;
}

template <class Blocks, int parts>
void matrix_project(const MatrixProject& a) {
  constexpr int rows = Blocks::rows, piece_rows = 8;
  Blocks::template run<parts, rows, rows / piece_rows>(
      a.w, a.x, a.stride, a.pairs, a.vectors, blocks_of(a.rows, rows),
      [&](std::int64_t block, std::int64_t v, auto count, int piece, auto sum)
          __attribute__((always_inline)) {
            project_rows<piece_rows, decltype(count)::value>(a, block * rows, piece * piece_rows, v,
                                                             sum);
          });
}

template <class Blocks, class Cell, Half half, int parts>
inline void matrix_half(const MatrixStep& a, slidecell::MatrixWeights w, const std::uint32_t* x) {
  constexpr int gates = Product<Cell, half>::gates.count, units = Blocks::units(gates);
  Blocks::template run<parts, gates * units, units / 2>(
      w, x, a.stride, a.pairs, a.vectors, blocks_of(a.hidden, units),
      [&](std::int64_t block, std::int64_t v, auto count, int piece, auto sum)
          __attribute__((always_inline)) {
            using Activations = typename Blocks::template Activations<parts>;
            matrix_pair<Cell, half, Activations, parts, decltype(count)::value>(a, block * units,
                                                                                2 * piece, v, sum);
          });
}

template <class Blocks, class Cell, int parts>
void matrix_step(const MatrixStep& a) {
  if constexpr (Form<Cell>::has_late) {
    matrix_half<Blocks, Cell, Half::first, parts>(a, a.w, a.h_pairs);
    matrix_half<Blocks, Cell, Half::last, parts>(a, a.w_late, a.h_pairs ? a.late_pairs : nullptr);
  } else {
    matrix_half<Blocks, Cell, Half::last, parts>(a, a.w, a.h_pairs);
  }
}

template <class Blocks, int parts>
constexpr void add_matrix_steps(slidecell::MatrixKernels& kernels) {
  AllCells::each([&kernels](auto cell) {
    using Cell = decltype(cell);
    kernels.step[parts - 1][Cell::form] = &matrix_step<Blocks, Cell, parts>;
  });
}

template <class Blocks, int parts>
constexpr void add_matrix_parts(slidecell::MatrixKernels& kernels) {
  kernels.project[parts - 1] = &matrix_project<Blocks, parts>;
  add_matrix_steps<Blocks, parts>(kernels);
}

template <class Blocks>
constexpr slidecell::MatrixKernels make_matrix_kernels(const char* name, std::size_t index) {
  slidecell::MatrixKernels kernels{};
  kernels.name = name;
  kernels.index = index;
  kernels.lanes = Vec::lanes;
  kernels.chunk = Blocks::chunk;
  kernels.block_rows = Blocks::rows;
  for (int gates = 1; gates <= slidecell::kMaxGates; ++gates) {
    kernels.block_units[gates] = Blocks::units(gates);
  }
  kernels.vector_step = Blocks::vectors;
  kernels.has_tiles = Blocks::has_tiles;
  kernels.begin_tiles = Blocks::begin_tiles;
  kernels.end_tiles = Blocks::end_tiles;
  add_matrix_parts<Blocks, 1>(kernels);
  add_matrix_parts<Blocks, 2>(kernels);
  add_matrix_parts<Blocks, 3>(kernels);
  return kernels;
}

}  // namespace
