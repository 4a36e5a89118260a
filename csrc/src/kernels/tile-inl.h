// bf16 products on a matrix unit: tiles of 16 rows of weights times 16 columns. While the unit
// multiplies one block, the vector units activate the block before it, as far ahead as the core
// looks: some 500 instructions.
#pragma once

#include <utility>

#include "kernels/matrix-inl.h"

namespace {

static_assert(Vec::lanes == 16, "a tile has 16 columns");

constexpr int kTile = 16;  // rows, columns and pairs of a tile
constexpr int kTileWords = 16 * kTile;

// The sums of one block: [row_tiles][col_tiles][16 rows][16 columns].
struct alignas(64) BlockSums {
  float tiles[6 * kTileWords];
};

template <class F, int... n>
inline __attribute__((always_inline)) void unroll(std::integer_sequence<int, n...>, F f) {
  (f(std::integral_constant<int, n>{}), ...);
}
template <int count, class F>
inline __attribute__((always_inline)) void unroll(F f) {
  unroll(std::make_integer_sequence<int, count>{}, f);
}

// w: the block of part 0, [pairs / 16][row_tiles][16 rows][16 pairs]; x: the first of the columns.
// Sums of two rows of tiles leave two tiles for w and two for x, which stay loaded while they are
// needed; those of three rows leave one of each.
template <int parts, int row_tiles, int col_tiles>
inline void multiply_block(Tiles& tiles, slidecell::MatrixWeights w, const std::uint32_t* x,
                           std::ptrdiff_t stride, std::int64_t pairs, BlockSums& sums) {
  constexpr int kSums = row_tiles * col_tiles;
  constexpr bool keeps = row_tiles <= 2 && col_tiles <= 2;
  constexpr int kW = keeps ? 4 : 6, kX = keeps ? 6 : 7;
  static_assert(kSums <= 6, "two tiles are left for the factors");
  unroll<kSums>([&](auto t) __attribute__((always_inline)) { tiles.zero<t>(); });
  for (std::int64_t k = 0; k < pairs; k += kTile) {
    unroll<Products<parts>::count>([&](auto i) __attribute__((always_inline)) {
      const std::uint32_t* wk = w.pairs + Products<parts>::w[i] * w.part + k * row_tiles * kTile;
      const std::uint32_t* xk = x + (Products<parts>::x[i] * pairs + k) * stride;
      constexpr bool same_w =
          i > 0 && Products<parts>::w[i] == Products<parts>::w[i > 0 ? i - 1 : 0];
      unroll<col_tiles>([&](auto col) __attribute__((always_inline)) {
        constexpr int x_tile = keeps ? kX + col : kX;
        tiles.load<x_tile>(xk + col * kTile, stride * 4);
        unroll<row_tiles>([&](auto row) __attribute__((always_inline)) {
          constexpr int w_tile = keeps ? kW + row : kW;
          if (!keeps || (col == 0 && !same_w)) tiles.load<w_tile>(wk + row * kTileWords, 64);
          tiles.multiply<row * col_tiles + col, w_tile, x_tile>();
        });
      });
    });
  }
  unroll<kSums>([&](auto t) __attribute__((always_inline)) {
    tiles.store<t>(sums.tiles + t * kTileWords, 64);
  });
}

// For every block of row_tiles * 16 rows and every two groups of columns: the products, then
// cells(block, first group, Count<groups>, sum) of the work before.
template <int parts, int row_tiles, class Cells>
inline void for_blocks(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                       std::int64_t pairs, std::int64_t vectors, std::int64_t blocks, Cells cells) {
  struct Work {
    std::int64_t block, v;
    bool two;  // groups, or one that is left over
  };
  const auto activate_block = [&](const Work& work, const BlockSums& sums) {
    const auto run = [&](auto count) {
      constexpr int n = decltype(count)::value;
      cells(work.block, work.v, count, [&](int r) __attribute__((always_inline)) {
        Vecs<n> sum;
#pragma GCC unroll 2
        for (int u = 0; u < n; ++u) {
          sum.v[u] = Vec::load(sums.tiles + (r / 16 * n + u) * kTileWords + r % 16 * kTile);
        }
        return sum;
      });
    };
    work.two ? run(Count<2>{}) : run(Count<1>{});
  };
  BlockSums sums[2];
  Work before{};
  std::int64_t done = 0;
  if (!x) {
    sums[0] = BlockSums{};
    for (std::int64_t block = 0; block < blocks; ++block) {
      for (std::int64_t v = 0; v < vectors; v += 2) {
        activate_block({block, v, v + 2 <= vectors}, sums[0]);
      }
    }
    return;
  }
  Tiles tiles;
  for (std::int64_t block = 0; block < blocks; ++block, w.pairs += pairs * row_tiles * kTile) {
    for (std::int64_t v = 0; v < vectors; v += 2) {
      const Work work{block, v, v + 2 <= vectors};
      const std::uint32_t* xv = x + v * kTile;
      if (work.two) {
        multiply_block<parts, row_tiles, 2>(tiles, w, xv, stride, pairs, sums[done % 2]);
      } else {
        multiply_block<parts, row_tiles, 1>(tiles, w, xv, stride, pairs, sums[done % 2]);
      }
      if (done > 0) activate_block(before, sums[(done + 1) % 2]);
      before = work;
      ++done;
    }
  }
  if (done > 0) activate_block(before, sums[(done + 1) % 2]);
}

struct TileBlocks {
  static constexpr int rows = 32, vectors = 2;
  static constexpr int chunk = kTile;
  static constexpr bool has_tiles = true;
  // Whole tiles: three gates fill 48 rows, others 32.
  static constexpr int units(int gates) { return gates == 3 ? kTile : rows / gates; }

  template <int parts, int rows, class Cells>
  static inline void run(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                         std::int64_t pairs, std::int64_t all_vectors, std::int64_t blocks,
                         Cells cells) {
    static_assert(rows % kTile == 0, "whole tiles");
    for_blocks<parts, rows / kTile>(w, x, stride, pairs, all_vectors, blocks, cells);
  }
};

}  // namespace
