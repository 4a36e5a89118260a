// bf16 products on a matrix unit (tile_blocks-inl.h).
#pragma once

#include "kernels/matrix-inl.h"
#include "kernels/tile_blocks-inl.h"

namespace {

template <int parts>
struct PairFactors : Products<parts> {
  template <int sums, int a, int b>
  static inline __attribute__((always_inline)) void multiply() {
    Tiles::multiply_pairs<sums, a, b>();
  }
  template <int n>
  static inline __attribute__((always_inline)) Vecs<n> sums(const float* from) {
    return Vecs<n>::load(from);
  }
};

struct TileBlocks {
  static constexpr int rows = 32, vectors = 2;
  static constexpr int chunk = kTile;
  template <int parts>
  using Activations = ScaledActivations<grade_of<parts>()>;
  static constexpr bool has_tiles = true;
  static constexpr void (*begin_tiles)(slidecell::TileConfig&) = ::begin_tiles;
  static constexpr void (*end_tiles)(const slidecell::TileConfig&) = ::end_tiles;
  // Whole tiles: three gates fill 48 rows, others 32.
  static constexpr int units(int gates) { return gates == 3 ? kTile : rows / gates; }

  template <int parts, int rows, int pieces, class Cells>
  static inline void run(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                         std::int64_t pairs, std::int64_t all_vectors, std::int64_t blocks,
                         Cells cells) {
    static_assert(rows % kTile == 0, "whole tiles");
    for_blocks<PairFactors<parts>, rows / kTile, pieces>(w, x, stride, pairs, all_vectors, blocks,
                                                         cells);
  }
};

}  // namespace
