// Products on a matrix unit: tiles of 16 rows of weights times 16 columns. While the unit
// multiplies one block, the vector units activate the block before it. A core looks some 500
// instructions ahead, fewer than the activations of a block have: so their pieces stand between the
// groups of products.
//
// Factors say what is multiplied: `count` groups of products, of part w[i] of the weights and part
// x[i] of the columns; multiply<sums, a, b>() of whole tiles; and sums<n>(from), those of a row and
// of n groups of columns. They are bf16 pairs (tile-inl.h) or 8-bit codes (low_tile-inl.h): words
// of 32 bits.
#pragma once

#include <utility>

#include "kernels/matrix_table.h"
#include "kernels/product-inl.h"
#include "kernels/vecs-inl.h"

namespace {

static_assert(Vec::lanes == 16, "a tile has 16 columns");

constexpr int kTile = 16;  // rows, columns and words of a tile
constexpr int kTileWords = 16 * kTile;

constexpr slidecell::TileConfig kWholeTiles{
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

inline void begin_tiles(slidecell::TileConfig& before) {
  Tiles::store_config(before);
  Tiles::load_config(kWholeTiles);
}
inline void end_tiles(const slidecell::TileConfig& before) {
  if (before.palette != 0) {
    Tiles::load_config(before);
  } else {
    Tiles::release();
  }
}

// The sums of one block, as their factors make them: [rows][columns of one or two groups].
struct alignas(64) BlockSums {
  float values[6 * kTileWords];
};

template <class F, int... n>
inline __attribute__((always_inline)) void unroll(std::integer_sequence<int, n...>, F f) {
  (f(std::integral_constant<int, n>{}), ...);
}
template <int count, class F>
inline __attribute__((always_inline)) void unroll(F f) {
  unroll(std::make_integer_sequence<int, count>{}, f);
}

// The products of a block with one or two groups of columns, as a sequence of groups of products:
// group `i` of the factors, of 16 words of all rows and columns. Sums of two rows of tiles leave
// two tiles for w and two for x, which stay loaded while they are needed; those of three rows leave
// one of each.
template <class Factors, int row_tiles, int col_tiles>
struct BlockProducts {
  static constexpr int sums = row_tiles * col_tiles;
  static constexpr bool keeps = row_tiles <= 2 && col_tiles <= 2;
  static constexpr int w0 = keeps ? 4 : 6, x0 = keeps ? 6 : 7;
  static_assert(sums <= 6, "two tiles are left for the factors");

  static inline __attribute__((always_inline)) void clear() {
    unroll<sums>([](auto t) __attribute__((always_inline)) { Tiles::zero<t>(); });
  }

  // w, x: of part 0 and of the group's words.
  template <int i>
  static inline __attribute__((always_inline)) void group(slidecell::MatrixWeights w,
                                                          const std::uint32_t* x,
                                                          std::ptrdiff_t stride,
                                                          std::int64_t words) {
    const std::uint32_t* wi = w.pairs + Factors::w[i] * w.part;
    const std::uint32_t* xi = x + Factors::x[i] * words * stride;
    constexpr bool same_w = i > 0 && Factors::w[i] == Factors::w[i > 0 ? i - 1 : 0];
    unroll<col_tiles>([&](auto col) __attribute__((always_inline)) {
      constexpr int x_tile = keeps ? x0 + col : x0;
      Tiles::load<x_tile>(xi + col * kTile, stride * 4);
      unroll<row_tiles>([&](auto row) __attribute__((always_inline)) {
        constexpr int w_tile = keeps ? w0 + row : w0;
        if (!keeps || (col == 0 && !same_w)) Tiles::load<w_tile>(wi + row * kTileWords, 64);
        Factors::template multiply<row * col_tiles + col, w_tile, x_tile>();
      });
    });
  }

  static inline __attribute__((always_inline)) void store(BlockSums& to) {
    constexpr int columns = col_tiles * kTile;
    unroll<sums>([&](auto t) __attribute__((always_inline)) {
      constexpr int row = t / col_tiles * kTile, column = t % col_tiles * kTile;
      Tiles::store<t>(to.values + row * columns + column, columns * 4);
    });
  }
};

// A block of rows and one or two groups of columns.
struct BlockWork {
  std::int64_t block, v;
  bool two;  // groups, or one that is left over
};

// The pieces of a block's cells, called one after another and evenly over `groups` calls of next().
template <class Factors, int pieces, class Cells>
class CellPieces {
 public:
  CellPieces(const Cells& cells, const BlockWork& work, const BlockSums& sums, std::int64_t groups)
      : cells_(cells), work_(work), sums_(sums.values), groups_(groups) {}

  inline __attribute__((always_inline)) void next() {
    for (due_ += pieces; due_ >= groups_; due_ -= groups_) call();
  }

 private:
  // Not inlined: next() stands behind every group, and one copy fits the core's caches.
  __attribute__((noinline)) void call() {
    work_.two ? run(Count<2>{}) : run(Count<1>{});
    ++piece_;
  }
  template <class Groups>
  inline __attribute__((always_inline)) void run(Groups count) {
    constexpr int n = Groups::value;
    const float* sums = sums_;
    cells_(work_.block, work_.v, count, piece_, [sums](int r) __attribute__((always_inline)) {
      return Factors::template sums<n>(sums + static_cast<std::ptrdiff_t>(r) * n * kTile);
    });
  }

  const Cells& cells_;
  const BlockWork work_;
  const float* const sums_;
  const std::int64_t groups_;
  std::int64_t due_ = 0;
  int piece_ = 0;
};

// The products of `work` into `sums`, and behind each group of them next().
// w: the block of part 0, [words / 16][row_tiles][16 rows][16 words]; x: the first of the columns.
template <class Factors, int row_tiles, int col_tiles, class Next>
inline void multiply_block(slidecell::MatrixWeights w, const std::uint32_t* x,
                           std::ptrdiff_t stride, std::int64_t words, BlockSums& sums, Next next) {
  using Block = BlockProducts<Factors, row_tiles, col_tiles>;
  Block::clear();
  for (std::int64_t k = 0; k < words; k += kTile) {
    unroll<Factors::count>([&](auto i) __attribute__((always_inline)) {
      Block::template group<i>(w, x, stride, words);
      next();
    });
    w.pairs += row_tiles * kTileWords;
    x += kTile * stride;
  }
  Block::store(sums);
}

// For every block of row_tiles * 16 rows and every two groups of columns: the products, and between
// them cells(block, first group, Count<groups>, piece, sum) of the pieces of the work before.
template <class Factors, int row_tiles, int pieces, class Cells>
inline void for_blocks(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                       std::int64_t words, std::int64_t vectors, std::int64_t blocks, Cells cells) {
  BlockSums sums[2];
  if (!x) sums[0] = BlockSums{};
  const std::int64_t groups = words / kTile * Factors::count;
  BlockWork before{};
  std::int64_t done = 0;
  const auto activate = [&](const BlockWork& work, const BlockSums& of) {
    CellPieces<Factors, pieces, Cells>(cells, work, of, 1).next();
  };
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t v = 0; v < vectors; v += 2) {
      const BlockWork work{block, v, v + 2 <= vectors};
      if (!x) {
        activate(work, sums[0]);
        continue;
      }
      CellPieces<Factors, pieces, Cells> activation(cells, before, sums[(done + 1) % 2], groups);
      const auto next = [&]() __attribute__((always_inline)) {
        if (done > 0) activation.next();
      };
      if (work.two) {
        multiply_block<Factors, row_tiles, 2>(w, x + v * kTile, stride, words, sums[done % 2],
                                              next);
      } else {
        multiply_block<Factors, row_tiles, 1>(w, x + v * kTile, stride, words, sums[done % 2],
                                              next);
      }
      before = work;
      ++done;
    }
    w.pairs += words * row_tiles * kTile;
  }
  if (done > 0) activate(before, sums[(done + 1) % 2]);
}

}  // namespace
