// bf16 products by dot instructions: `rows` rows times `vectors` groups of columns are added up in
// registers, and the cells follow there, as in the float32 kernels.
#pragma once

#include "kernels/matrix-inl.h"
#include "kernels/product-inl.h"

namespace {

// acc[r][v] += the products of all parts. w: the block of part 0, [pairs][rows].
template <int parts, int rows, int vectors>
inline __attribute__((always_inline)) void accumulate_pairs(slidecell::MatrixWeights w,
                                                            const std::uint32_t* x,  // group v0
                                                            std::ptrdiff_t stride,
                                                            std::int64_t pairs,
                                                            Vec (&acc)[rows][vectors]) {
  for (int i = 0; i < Products<parts>::count; ++i) {
    const std::uint32_t* wk = w.pairs + Products<parts>::w[i] * w.part;
    const std::uint32_t* xk = x + Products<parts>::x[i] * pairs * stride;
    for (std::int64_t k = 0; k < pairs; ++k, wk += rows, xk += stride) {
      PairVec column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = PairVec::load(xk + v * Vec::lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const PairVec weight = PairVec::all(wk[r]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) acc[r][v] = dot(weight, column[v], acc[r][v]);
      }
    }
  }
}

struct DotBlocks {
  static constexpr int rows = 8,
                       vectors = 3;  // 24 sums + 3 columns + 1 weight = 28 of 32 registers
  static constexpr int chunk = 1;
  template <int parts>
  using Activations = ScaledActivations<grade_of<parts>()>;
  static constexpr bool has_tiles = false;
  static constexpr void (*begin_tiles)(slidecell::TileConfig&) = nullptr;
  static constexpr void (*end_tiles)(const slidecell::TileConfig&) = nullptr;
  static constexpr int units(int gates) { return rows / gates; }

  // For every block of `rows` rows at w and every few groups of columns: the products, then
  // cells(block, first group, Count<groups>, piece, sum) of each piece.
  template <int parts, int rows, int pieces, class Cells>
  static inline void run(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                         std::int64_t pairs, std::int64_t all_vectors, std::int64_t blocks,
                         Cells cells) {
    for (std::int64_t block = 0; block < blocks; ++block, w.pairs += pairs * rows) {
      for_vectors<vectors>(all_vectors, [&](std::int64_t v, auto count) {
        constexpr int n = decltype(count)::value;
        Vec acc[rows][n];
        clear(acc);
        if (x) accumulate_pairs<parts, rows, n>(w, x + v * Vec::lanes, stride, pairs, acc);
#pragma GCC unroll 4
        for (int piece = 0; piece < pieces; ++piece) {
          cells(block, v, count, piece,
                [&acc](int r) __attribute__((always_inline)) { return Vecs<n>::of(acc[r]); });
        }
      });
    }
  }
};

}  // namespace
