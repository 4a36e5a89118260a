// The scores of rows that are too large: finite values that float32 does not hold, scaled.
#pragma once

#include <cstdint>
#include <limits>

#include "model/model_parts.h"
#include "slidecell/windows.hpp"

namespace slidecell {

// Finite rows and weights give no NaN but by sums that float32 cannot hold, infinity less infinity:
// no error is larger.
inline float score_of(float sum) {
  return sum == sum ? sum : std::numeric_limits<float>::infinity();
}

// out [S] or, with per_feature, [S, T]: +infinity for rows that are too large, whether a window
// ends there or not. Of the targets those that hold such a value get it, all where none of them
// does. seen: whether a window's tile met such a row; if not, only rows outside of all windows are
// read.
void score_too_large_rows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                          bool per_feature, bool seen, int num_threads, float* out);

}  // namespace slidecell
