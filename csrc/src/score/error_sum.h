// Reduces the errors of a tile's predictions to scores, row by predicted row.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_parts.h"
#include "score/tile_runner.h"

namespace slidecell {

// What a sum over `rows` predicted rows is divided by: the mean of the squared or absolute error
// (per feature or over all features), of half the sums of nll, or of the Mahalanobis distance.
double error_divisor(const ModelParts& model, Reduction reduction, bool per_feature,
                     std::int64_t rows);

// Throws std::invalid_argument unless the model has what the reduction needs.
void check_reduction(const ModelParts& model, Reduction reduction);

// Where the columns of predictions find a true row: group v from column col[v] of x [F][stride] on.
struct TrueColumns {
  const float* x;
  std::ptrdiff_t stride;
  const std::int32_t* col;  // [vectors]
  std::int64_t vectors;
};

// Adds up the errors of the predicted rows that it is given.
class ErrorSum {
 public:
  ErrorSum(const ModelParts& model, const KernelTable& kernels, Reduction reduction,
           bool per_feature, std::ptrdiff_t stride);

  void clear(float* sums);  // sums [values()][stride]
  // Adds predicted row `row` (0 .. predicted_rows-1) of every window of the tile to `sums`. pred is
  // as PredictionSink says.
  void add(WindowTile& tile, std::int64_t row, const float* pred, float* sums);
  void add(const TrueColumns& truth, std::int64_t row, const float* pred, float* sums);

  // 1, or one per target with per_feature.
  std::int64_t values() const { return values_; }

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
