// A tile: groups of windows of a series, with the rows that they need, transposed and shared.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"
#include "slidecell/windows.hpp"
#include "windows/cast_rows.h"

namespace slidecell {

// `count` consecutive windows of one entity, the first of them number `window` of the entity.
// A vector never spans two entities, so its lanes are rows a stride apart.
struct WindowVector {
  std::int64_t entity = 0;
  std::int64_t window = 0;
  std::int64_t count = 0;
};

// Numbers the vectors of all entities through, in O(entities) memory. A plan's vectors depend on
// nothing but the plan and `lanes`, so tiles can be cut anywhere.
class VectorPlan {
 public:
  VectorPlan(const WindowPlan& plan, std::int64_t lanes);
  std::int64_t size() const { return first_.back(); }
  WindowVector at(std::int64_t index) const;  // O(log G)
  // Those of tile `index`, where each tile takes `tile_size` and the last one what is left.
  std::vector<WindowVector> tile(std::int64_t index, std::int64_t tile_size) const;

 private:
  const WindowPlan& plan_;
  std::int64_t lanes_;
  std::vector<std::int64_t> first_;  // [G+1]
};

// Columns that the rows of any tile of up to max_vectors vectors of the plan take.
std::int64_t tile_columns(const KernelTable& kernels, const WindowPlan& plan,
                          std::int64_t max_vectors);

// The rows of a tile: x [F][stride].
//
// Rows are laid out so that the rows which neighbouring windows need at a step t lie side by side:
// a run of vectors of one entity occupies, in each of min(stride, span) planes, the columns of
// every stride-th row. With stride 1 that is the plain transposed series. Lane l of vector v finds
// row t of its window at column(v, t) + l.
class WindowTile {
 public:
  WindowTile(const KernelTable& kernels, const SeriesView& series, const ColumnScaler* scaler,
             const WindowPlan& plan, std::int64_t max_vectors);

  // All vectors of one tile; consecutive vectors of an entity share their rows.
  void load(const std::vector<WindowVector>& vectors);

  const std::vector<WindowVector>& vectors() const { return vectors_; }
  std::int64_t size() const { return static_cast<std::int64_t>(vectors_.size()); }
  const WindowPlan& plan() const { return plan_; }
  const float* x() const { return x_.data(); }
  std::ptrdiff_t stride() const { return stride_; }

  // Columns of row t of each vector's windows: [size()].
  const std::int32_t* columns(std::int64_t t);
  // First row in the series of lane `lane` of vector v.
  std::int64_t start(std::int64_t v, std::int64_t lane) const;
  // False if any of the first `rows` rows of the window is missing or too large.
  bool complete(std::int64_t v, std::int64_t lane, std::int64_t rows) const;
  // Whether a row of the tile is too large.
  bool any_too_large() const { return (states_ & kTooLargeRow) != 0; }

 private:
  friend class SharedProjection;
  struct Run {             // consecutive vectors of one entity
    std::int64_t vector;   // the first
    std::int64_t vectors;  // how many
    std::int64_t column;   // first column within a plane
  };
  std::int64_t offset(std::int64_t t) const;
  void load_run(const Run& run);

  const KernelTable& kernels_;
  SeriesView series_;
  const ColumnScaler* scaler_;
  const WindowPlan& plan_;
  std::int64_t span_;    // rows of a window with its target
  std::int64_t planes_;  // min(stride, span)
  std::int64_t plane_ = 0;
  std::ptrdiff_t stride_ = 0;
  std::vector<WindowVector> vectors_;
  std::vector<Run> runs_;
  std::vector<std::int32_t> base_;  // [vectors] column of row 0
  std::vector<std::int32_t> col_;
  AlignedFloats x_;
  std::vector<RowState> bad_;    // [stride]
  RowState states_ = kWholeRow;  // of all rows of the tile together
};

}  // namespace slidecell
