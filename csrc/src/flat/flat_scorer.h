// What the three kinds of scores of flattened windows share.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flat/flat_map.h"
#include "slidecell/window_scorer.hpp"

namespace slidecell {

// What a call asks for.
struct FlatCall {
  bool per_feature = false;
  Span<const std::int64_t> own_starts;  // of score_own; empty: every point counts
};

// One thread's workspace: scores the windows of one tile after the other.
class FlatTile {
 public:
  FlatTile(const KernelTable& kernels, const WindowScorer::Impl& scorer, const SeriesView& series,
           const WindowPlan& plan, const FlatCall& call, float* out);
  virtual ~FlatTile() = default;
  void score(const TileWindows& windows);

 protected:
  // Scores of all windows of the tile: sums [values][stride], zero at first.
  virtual void add_scores(float* sums) = 0;

  std::int64_t column(std::int64_t v) const { return v * kernels_.lanes; }
  // Feature f in row t of a window, scaled.
  float value(std::int64_t v, std::int64_t lane, std::int64_t f, std::int64_t t) const {
    return tile_.x()[f * tile_.stride() + first_[static_cast<std::size_t>(v)] + t * row_ + lane];
  }
  // Adds the squares of features `rows` of all rows of the windows to `sums`: one sum, or with
  // by_feature a sum for each feature.
  void add_squares(const std::vector<std::int32_t>& rows, bool by_feature, float* sums);

  const KernelTable& kernels_;
  const WindowScorer::Impl& scorer_;
  WindowTile tile_;
  bool per_feature_;
  std::int64_t values_;    // 1, or F with per_feature
  std::ptrdiff_t stride_;  // columns of a tile

 private:
  std::int64_t span_;
  std::vector<std::int32_t> first_;  // [vectors] column of the first row of each group of windows
  std::ptrdiff_t row_ = 1;           // columns from a row of the windows to the next
  AlignedFloats sums_, zeros_;
  float* out_;
};

class [[gnu::visibility("hidden")]] WindowScorer::Impl {
 public:
  Impl(FlatWindows windows, std::int64_t horizon);
  virtual ~Impl() = default;
  virtual std::unique_ptr<FlatTile> tile(const KernelTable& kernels, const SeriesView& series,
                                         const WindowPlan& plan, const FlatCall& call,
                                         float* out) const = 0;
  // Scores what `call` asks for.
  void run(const SeriesView& series, Span<const std::int64_t> offsets, const FlatCall& call,
           float* out, int num_threads) const;

  virtual std::int64_t points() const { return 0; }  // P of `nearest`

  const ColumnScaler* scaler() const { return windows.center.empty() ? nullptr : &column_scaler_; }

  const FlatWindows windows;
  const std::int64_t horizon;
  std::vector<std::int32_t> constant;  // features that are not in `varying`
  std::vector<std::int32_t> all;       // 0 .. F-1

 private:
  ColumnScaler column_scaler_;
};

// Groups of windows in a tile.
std::int64_t flat_tile_vectors(const KernelTable& kernels);

// Throws std::invalid_argument unless the array has so many finite values.
void check_flat(const std::vector<float>& values, std::int64_t size, const char* name);
// Throws unless `values` holds one row or more of W * V values; returns how many.
std::int64_t flat_rows(const FlatWindows& windows, const std::vector<float>& values,
                       const char* name);

}  // namespace slidecell
