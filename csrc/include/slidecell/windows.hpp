// Sliding windows over a series of one or many entities, without materialising them.
#pragma once

#include <cstdint>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/series.hpp"
#include "slidecell/span.hpp"

namespace slidecell {

// The windows of a series, in O(entities) memory.
//
// Entity g owns rows offsets[g] .. offsets[g+1]-1. An entity of n rows has
//   0                                    windows if n < window + horizon,
//   (n - window - horizon) / stride + 1  windows otherwise;
// window i of an entity covers its rows i*stride .. i*stride+window-1, and its target the
// `horizon` rows after them. A window never crosses an entity. Windows are numbered through,
// entity by entity.
class SLIDECELL_API WindowPlan {
 public:
  // offsets [G+1]: starts at 0, never decreases. window >= 1, horizon >= 0, stride >= 1.
  // Throws std::invalid_argument with the argument, what was expected and what came.
  WindowPlan(std::vector<std::int64_t> offsets, std::int64_t window, std::int64_t horizon,
             std::int64_t stride = 1);

  std::int64_t size() const { return first_window_.back(); }  // number of windows, all entities
  std::int64_t window() const { return window_; }
  std::int64_t horizon() const { return horizon_; }
  std::int64_t stride() const { return stride_; }
  std::int64_t num_entities() const { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::int64_t num_rows() const { return offsets_.back(); }
  Span<const std::int64_t> offsets() const { return offsets_; }            // [G+1]
  Span<const std::int64_t> first_window() const { return first_window_; }  // [G+1]

  // Entity that window `index` belongs to: O(log G).
  std::int64_t entity_of(std::int64_t index) const;
  // First row of window `index` in the series: O(log G).
  std::int64_t start(std::int64_t index) const;

  // x [n, window, F] and, where horizon > 0 and y is not null, y [n, horizon, F] of the windows
  // `indices` of `series`, cast to float32, in parallel. Throws std::out_of_range on an index
  // outside 0 .. size()-1 before anything is written.
  void gather(const SeriesView& series, Span<const std::int64_t> indices, float* x, float* y,
              int num_threads = 0) const;
  // The same for all windows in order: x [size(), window, F], y [size(), horizon, F].
  void gather_all(const SeriesView& series, float* x, float* y, int num_threads = 0) const;

 private:
  void check_series(const SeriesView& series) const;
  void make_buckets();
  // First rows of a few windows.
  void find_starts(const std::int64_t* indices, std::int64_t n, std::int64_t* starts) const;

  std::vector<std::int64_t> offsets_;       // [G+1]
  std::vector<std::int64_t> first_window_;  // [G+1]: windows before entity g
  // Where to look for a window: it belongs to one of the `bucket_entities_` entities from
  // buckets_[index >> bucket_shift_] on. At most 2G buckets.
  std::vector<std::int64_t> buckets_;
  std::int64_t bucket_entities_ = 0;
  int bucket_shift_ = 0;
  std::int64_t window_, horizon_, stride_;
};

// Windows that begin at the rows `starts`, of which the caller keeps a list of its own:
// x [n, window, F] and, where horizon > 0 and y is not null, y [n, horizon, F], cast to float32.
// Throws std::out_of_range before anything is written if a window or its target does not fit.
SLIDECELL_API void gather_rows(const SeriesView& series, Span<const std::int64_t> starts,
                               std::int64_t window, std::int64_t horizon, float* x, float* y,
                               int num_threads = 0);

}  // namespace slidecell
