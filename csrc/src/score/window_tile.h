// A tile: groups of windows of a series, with the rows that they need, transposed and shared.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"
#include "slidecell/windows.hpp"
#include "windows/cast_rows.h"

namespace slidecell {

// `count` consecutive windows of one entity, the first of them number `window` of the entity.
struct WindowRun {
  std::int64_t entity = 0;
  std::int64_t window = 0;
  std::int64_t count = 0;
};

// The windows of a tile. Each run of up to `lanes` windows has a vector of its own, whose lanes are
// rows a stride apart; or, mixed, the runs fill the lanes of all vectors one after the other.
struct TileWindows {
  std::vector<WindowRun> runs;
  bool mixed = false;
};

// What decides which windows share a vector with those of other entities.
struct MixRule {
  std::int64_t max_vectors;  // of a tile
  std::int64_t features;
  // More windows than this that are left of an entity have a vector of their own: a mixed vector
  // shares no row between its windows, which costs more than the lanes that it fills.
  std::int64_t most;
};

// Whether mixed tiles of the plan's windows are small enough.
bool mixed_tile_fits(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule);
// Whether windows of the plan may lie in mixed vectors at all.
bool may_mix(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule);

// Cuts the windows of all entities into tiles, in O(entities) memory: full vectors of one entity
// first, then what is left of each entity, mixed where that saves vectors.
class VectorPlan {
 public:
  VectorPlan(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule);
  std::int64_t tiles() const { return own_tiles_ + ceil_div(mixed_.back(), max_vectors_ * lanes_); }
  TileWindows tile(std::int64_t index) const;

 private:
  WindowRun own(std::int64_t index) const;  // O(log G)

  const WindowPlan& plan_;
  std::int64_t lanes_, max_vectors_;
  std::vector<std::int64_t> first_;  // [G+1] vectors of one entity
  std::vector<std::int64_t> mixed_;  // [G+1] windows in mixed vectors
  std::int64_t own_tiles_ = 0;
};

// Which windows of the plan a tile takes: all of them, cut by VectorPlan, or any that were chosen.
enum class Which : std::uint8_t { all, chosen };

// Columns that the rows of any tile of up to max_vectors vectors of the plan take.
std::int64_t tile_columns(const KernelTable& kernels, const WindowPlan& plan,
                          std::int64_t max_vectors, std::int64_t features,
                          Which which = Which::all);

// The rows of a tile: x [F][stride].
//
// Rows are laid out so that the rows which neighbouring windows need at a step t lie side by side:
// a run of vectors of one entity occupies, in each of min(stride, span) planes, the columns of
// every stride-th row. With stride 1 that is the plain transposed series. The windows of a mixed
// tile lie as if the stride were their length: a plane holds row t of every window. Lane l of
// vector v finds row t of its window at columns(t)[v] + l.
class WindowTile {
 public:
  WindowTile(const KernelTable& kernels, const SeriesView& series, const ColumnScaler* scaler,
             const WindowPlan& plan, std::int64_t max_vectors, Which which = Which::all);

  // Vectors of an entity whose windows follow each other share their rows.
  void load(const TileWindows& windows);

  std::int64_t size() const { return size_; }  // vectors
  // Windows of vector v: its first lanes.
  std::int64_t count(std::int64_t v) const { return counts_[static_cast<std::size_t>(v)]; }
  const WindowPlan& plan() const { return plan_; }
  const float* x() const { return x_.data(); }
  std::ptrdiff_t stride() const { return stride_; }

  // Columns of row t of each vector's windows: [size()].
  const std::int32_t* columns(std::int64_t t);
  // How far the column of row t lies behind the one of row 0.
  std::int64_t offset(std::int64_t t) const { return t % row_step_ * plane_ + t / row_step_; }
  // Rows from one column of a plane to the next.
  std::int64_t row_step() const { return row_step_; }
  // First row in the series of lane `lane` of vector v.
  std::int64_t start(std::int64_t v, std::int64_t lane) const {
    return starts_[static_cast<std::size_t>(v * kernels_.lanes + lane)];
  }
  // Number of the window among all of the plan.
  std::int64_t window(std::int64_t v, std::int64_t lane) const {
    return windows_[static_cast<std::size_t>(v * kernels_.lanes + lane)];
  }
  // False if any of the first `rows` rows of the window is missing or too large.
  bool complete(std::int64_t v, std::int64_t lane, std::int64_t rows) const;
  // Whether a row of the tile is too large.
  bool any_too_large() const { return (states_ & kTooLargeRow) != 0; }

 private:
  friend class SharedProjection;
  struct Run {             // vectors of one entity whose windows follow each other
    std::int64_t vector;   // the first
    std::int64_t vectors;  // how many
    std::int64_t column;   // first column within a plane
  };
  void place_own(const std::vector<WindowRun>& runs);
  void place_mixed(const std::vector<WindowRun>& runs);
  void add_window(const WindowRun& run, std::int64_t i, std::size_t column);
  void load_run(const Run& run);
  void load_windows();

  const KernelTable& kernels_;
  SeriesView series_;
  const ColumnScaler* scaler_;
  const WindowPlan& plan_;
  std::int64_t span_;  // rows of a window with its target
  std::int64_t row_step_ = 1;
  std::int64_t planes_ = 1;  // min(row_step, span)
  std::int64_t plane_ = 0;
  std::int64_t size_ = 0;
  std::ptrdiff_t stride_ = 0;
  std::vector<std::int64_t> counts_;            // [vectors]
  std::vector<std::int64_t> starts_, windows_;  // [vectors * lanes]
  std::vector<Run> runs_;
  std::vector<std::int32_t> base_;  // [vectors] column of row 0
  std::vector<std::int32_t> col_;
  AlignedFloats x_;
  std::vector<RowState> bad_;      // [stride]
  std::vector<RowState> own_bad_;  // [span] of one window
  RowState states_ = kWholeRow;    // of all rows of the tile together
};

}  // namespace slidecell
