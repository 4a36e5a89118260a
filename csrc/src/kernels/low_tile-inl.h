// 8-bit products on a matrix unit (tile_blocks-inl.h). They serve the column orientation and cells
// whose rows are scaled.
#pragma once

#include "kernels/low_cells-inl.h"
#include "kernels/tile_blocks-inl.h"

namespace {

// Sums of a row and of n groups of columns.
template <int n>
struct TileSums {
  Sums v[n];

  inline __attribute__((always_inline)) Vecs<n> floats() const {
    Vecs<n> out;
#pragma GCC unroll 2
    for (int i = 0; i < n; ++i) out.v[i] = v[i].floats();
    return out;
  }
};

struct CodeFactors {
  static constexpr int count = 1, w[1] = {0}, x[1] = {0};
  template <int sums, int a, int b>
  static inline __attribute__((always_inline)) void multiply() {
    Tiles::multiply_codes<sums, a, b>();
  }
  template <int n>
  static inline __attribute__((always_inline)) TileSums<n> sums(const float* from) {
    TileSums<n> out;
#pragma GCC unroll 2
    for (int i = 0; i < n; ++i)
      out.v[i] = Sums::load(reinterpret_cast<const std::int32_t*>(from) + i * kTile);
    return out;
  }
};

// Words of whole tiles. What stands in the codes beyond words_of(depth) meets weights of zero.
constexpr std::int64_t tile_words(std::int64_t depth) {
  return (words_of(depth) + kTile - 1) / kTile * kTile;
}

struct LowTileBlocks {
  static constexpr int rows = 32, vectors = 2;
  // Whole tiles: three gates fill 48 rows, others 32.
  static constexpr int units(int gates) { return gates == 3 ? kTile : rows / gates; }
  // Of a block, whose instructions are many: see tile_blocks-inl.h.
  static constexpr int units_of_piece = 2;

  template <class Cell, Half half, class Activations>
  static inline void run(const LowStep& a, const LowWeights& w, const Activations& act) {
    constexpr int gates = Product<Cell, half>::gates.count, block_units = units(gates);
    const auto* codes = reinterpret_cast<const std::uint32_t*>(a.codes);
    for_blocks<CodeFactors, gates * block_units / kTile, block_units / units_of_piece>(
        {w.words, 0}, a.h ? codes : nullptr, a.stride, tile_words(a.hidden), a.vectors,
        (a.hidden + block_units - 1) / block_units,
        [&](std::int64_t block, std::int64_t v, auto count, int piece, auto sum)
            __attribute__((always_inline)) {
#pragma GCC unroll 2
              for (int i = 0; i < units_of_piece; ++i) {
                const int u = piece * units_of_piece + i;
                const std::int64_t j = block * block_units + u;
                if (j >= a.hidden) break;
                const auto of_gate = [&](int g) __attribute__((always_inline)) {
                  return sum(gates * u + g).floats();
                };
                low_unit<Cell, half, decltype(count)::value>(a, j, v, of_gate, w.scale + gates * j,
                                                             act);
              }
            });
  }
};

inline void low_tile_sums(const slidecell::LowSums& a) {
  constexpr int rows = LowTileBlocks::rows;
  code_columns(a.h, a.depth, a.stride, a.vectors, a.codes);
  for_blocks<CodeFactors, rows / kTile, rows>(
      {a.w.words, 0}, reinterpret_cast<const std::uint32_t*>(a.codes), a.stride,
      tile_words(a.depth), a.vectors, (a.rows + rows - 1) / rows,
      [&](std::int64_t block, std::int64_t v, auto count, int piece, auto sum) {
        const std::int64_t row = block * rows + piece;
        if (row >= a.rows) return;
        const auto sums = sum(piece);
        for (int i = 0; i < decltype(count)::value; ++i) {
          sums.v[i].store(a.out + row * a.stride + (v + i) * Vec::lanes);
        }
      });
}

constexpr slidecell::LowKernels make_low_tile_kernels(const char* name) {
  slidecell::LowKernels kernels{};
  kernels.name = name;
  kernels.per_word = Codes::per_word;
  kernels.offset = Codes::offset;
  kernels.chunk = kTile;
  kernels.block_rows = LowTileBlocks::rows;
  kernels.vector_step = LowTileBlocks::vectors;
  for (int gates = 1; gates <= slidecell::kMaxGates; ++gates) {
    kernels.block_units[gates] = LowTileBlocks::units(gates);
  }
  kernels.begin_tiles = begin_tiles;
  kernels.end_tiles = end_tiles;
  kernels.sums = &low_tile_sums;
  AllCells::each([&kernels](auto cell) {
    using Cell = decltype(cell);
    kernels.cells[Cell::form].columns = &low_scaled_step<LowTileBlocks, Cell>;
  });
  return kernels;
}

}  // namespace
