// What the two passes of training share: tiles of windows, and where a tile's steps are kept.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "slidecell/training.hpp"
#include "weights/cells.h"
#include "weights/pack.h"

namespace slidecell {

// Windows per tile: fewer than it holds where a small batch would otherwise keep one thread busy.
// It depends on N alone, so that results do.
inline std::int64_t train_tile_windows(std::int64_t N) {
  constexpr std::int64_t kTiles = 4, kStep = 16;
  return std::clamp(round_up(ceil_div(N, kTiles), kStep), kStep, kTrainTile);
}
inline std::int64_t train_tiles(std::int64_t N) { return ceil_div(N, train_tile_windows(N)); }

// Windows first .. first+count-1.
struct TrainTile {
  std::int64_t index, first, count;
  std::int64_t vectors;  // groups of columns that hold them

  TrainTile(const KernelTable& kernels, std::int64_t N, std::int64_t i)
      : index(i),
        first(i * train_tile_windows(N)),
        count(std::min(train_tile_windows(N), N - first)),
        vectors(ceil_div(count, kernels.lanes)) {}
};

// One step of one tile, in `saved` [tiles][T][rows][kTrainTile]: gates [G*H], h [H] and, with a
// state c, c [H].
template <class T>
struct SavedStep {
  T* gates;
  T* h;
  T* c;

  SavedStep(T* saved, const LayerSpec& spec, std::int64_t tile, std::int64_t steps, std::int64_t t)
      : gates(saved + (tile * steps + t) * rows(spec) * kTrainTile),
        h(gates + traits_of(spec).tile_gates * spec.hidden_size * kTrainTile),
        c(h + spec.hidden_size * kTrainTile) {}
  static std::int64_t rows(const LayerSpec& spec) {
    const CellTraits& traits = traits_of(spec);
    return (traits.tile_gates + 1 + (traits.has_c ? 1 : 0)) * spec.hidden_size;
  }
};

// Rows of a tile [count][row], `size` numbers each -> columns [size][kTrainTile].
inline void to_columns(const KernelTable& kernels, const float* rows, std::ptrdiff_t row,
                       std::int64_t count, std::int64_t size, float* columns) {
  kernels.train.transpose({rows, count, size, row, columns, kTrainTile});
}
// And back.
inline void to_rows(const KernelTable& kernels, const float* columns, std::int64_t size,
                    std::int64_t count, float* rows, std::ptrdiff_t row) {
  kernels.train.transpose({columns, size, count, kTrainTile, rows, row});
}

}  // namespace slidecell
