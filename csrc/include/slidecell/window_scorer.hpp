// Scores of windows as flat vectors: distances to points, residuals of a subspace, errors of a
// linear forecast. As for models, every stride-1 window is scored straight from the series.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/series.hpp"
#include "slidecell/span.hpp"

namespace slidecell {

// What the windows are: W rows of F features, scaled before they are flattened to [W * F].
struct FlatWindows {
  std::int64_t window = 1;    // W
  std::int64_t features = 1;  // F
  // scaled = (x - center) / scale, [F] each, or empty: rows are taken as they are.
  std::vector<double> center, scale;
  // Features that the points, components or weights look at, ascending; V of them. The others are
  // constant where they were fitted, with the scaled value 0: in distances and residuals they
  // count as they are, in forecasts not at all.
  std::vector<std::int32_t> varying;
};

// Immutable; weights are packed once per ISA. A score depends on the rows of its own window only,
// bit for bit. It is NaN where one of them is missing or holds a value that is too large for
// float32, and infinite where sums are.
class SLIDECELL_API WindowScorer {
 public:
  // The mean Euclidean distance of a window to its `neighbors` nearest points, at its last row.
  // points [P][W * V]. A distance is expanded into products; where less than 1e-3 of the window's
  // square is left it is computed from the differences.
  static WindowScorer nearest(FlatWindows windows, std::vector<float> points,
                              std::int64_t neighbors);

  // The mean over W * F of the squared residuals that the components leave of a window, at its last
  // row. mean [W * V], components [P][W * V] orthonormal.
  static WindowScorer subspace(FlatWindows windows, std::vector<float> mean,
                               std::vector<float> components);

  // The root mean square over features of max(|error| a - b, 0), where a linear map forecasts the
  // row after a window; at that row. weights [V][W * V], bias [V], a and b [V].
  static WindowScorer forecast(FlatWindows windows, std::vector<float> weights,
                               std::vector<float> bias, std::vector<float> a, std::vector<float> b);

  std::int64_t window() const;
  std::int64_t features() const;
  std::int64_t horizon() const;  // 1 for a forecast, else 0

  // out [S], or [S][F] with per_feature: each feature's squared distance to the nearest points
  // (their mean), mean squared residual or max(|error| a - b, 0). offsets [G+1], the last one S.
  // Throws std::invalid_argument with the argument, what was expected and what came.
  void score(const SeriesView& series, Span<const std::int64_t> offsets, float* out,
             bool per_feature = false, int num_threads = 0) const;

  // The scores of the series that the points of `nearest` were taken from: point p is the window
  // that begins at row starts[p], and counts for no window that begins less than W rows from
  // there, which would find itself. starts [P] ascending; out [S], infinite where no `neighbors`
  // points are left.
  void score_own(const SeriesView& series, Span<const std::int64_t> offsets,
                 Span<const std::int64_t> starts, float* out, int num_threads = 0) const;

  class Impl;
  explicit WindowScorer(std::shared_ptr<const Impl> impl);

 private:
  std::shared_ptr<const Impl> impl_;
};

// The mean of the finite scores among the rows from `before` rows before a row to `after` rows
// after it, within its entity, as a double that is summed in the order of time. NaN where there is
// none, and, with `own`, where the row itself has no score; an infinite score stays as it is.
// scores [S], offsets [G+1], out [S]. Throws std::invalid_argument.
SLIDECELL_API void row_means(Span<const float> scores, Span<const std::int64_t> offsets,
                             std::int64_t before, std::int64_t after, bool own, double* out,
                             int num_threads = 0);

}  // namespace slidecell
