// Reduces the errors of a tile's predictions to scores, row by predicted row.
#pragma once

#include <cstdint>
#include <vector>

#include "model_parts.h"
#include "tile_runner.h"

namespace slidecell {

// Adds up the errors of the predicted rows that it is given. What it holds after n rows, divided
// by divisor(n), is the mean over them: of the squared or absolute error (per feature or over all
// features) or of the Mahalanobis distance.
class ErrorSum {
 public:
  ErrorSum(const ModelParts& model, const KernelTable& kernels, Reduction reduction,
           bool per_feature, std::ptrdiff_t stride);

  void clear(float* sums);  // sums [values()][stride]
  // Adds predicted row `row` (0 .. predicted_rows-1) of every window of the tile to `sums`.
  void add(WindowTile& tile, std::int64_t row, const float* pred, float* sums);

  // 1, or one per target with per_feature.
  std::int64_t values() const { return values_; }
  double divisor(std::int64_t rows) const;

 private:
  void add_distance(std::int64_t vectors, float* sums);

  const ModelParts& model_;
  const KernelTable& kernels_;
  Reduction reduction_;
  std::int64_t values_;
  std::ptrdiff_t stride_;
  AlignedFloats errors_, whitened_;  // mahalanobis: [D][stride]
};

}  // namespace slidecell
