// Errors of a tile's predictions against the series, reduced on the spot.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// acc <- combine(error, acc), rows ascending.
template <class Combine>
inline void for_errors(const slidecell::ErrorColumns& a, Combine combine) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const float* pred = a.pred + r * a.stride;
    const float* truth = a.truth ? a.truth + a.truth_row[r] * a.truth_stride : nullptr;
    float* acc = a.acc + r * a.acc_stride;
    for (std::int64_t v = 0; v < a.vectors; ++v) {
      const Vec p = Vec::load(pred + v * Vec::lanes);
      const Vec error = truth ? p - Vec::load(truth + a.truth_col[v]) : p;
      combine(error, Vec::load(acc + v * Vec::lanes)).store(acc + v * Vec::lanes);
    }
  }
}

void add_squared_error_columns(const slidecell::ErrorColumns& a) {
  for_errors(a, [](Vec error, Vec acc) { return fma(error, error, acc); });
}
void add_absolute_error_columns(const slidecell::ErrorColumns& a) {
  for_errors(a, [](Vec error, Vec acc) { return acc + abs(error); });
}
void subtract_columns(const slidecell::ErrorColumns& a) {
  for_errors(a, [](Vec error, Vec) { return error; });
}

}  // namespace
