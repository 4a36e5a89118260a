// Errors of a tile's predictions against the series, reduced on the spot.
#pragma once

#include "kernels/head-inl.h"
#include "kernels/kernel_table.h"

namespace {

inline Vec error_at(const slidecell::ErrorColumns& a, std::int64_t r, std::int64_t v) {
  const Vec pred = Vec::load(a.pred + r * a.stride + v * Vec::lanes);
  if (!a.truth) return pred;
  return pred - Vec::load(a.truth + a.truth_row[r] * a.truth_stride + a.truth_col[v]);
}

// How far an error is beyond the usual one. NaN, in the second operand of max, comes through.
inline Vec calibrated(Vec error, float slope, float intercept) {
  return max(Vec(0.0f), fma(abs(error), Vec(slope), Vec(intercept)));
}

// One sum per row: acc[r] <- combine(error, acc[r], r, v).
template <class Combine>
inline void for_rows(const slidecell::ErrorColumns& a, Combine combine) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t v = 0; v < a.vectors; ++v) {
      float* acc = a.acc + r * a.acc_stride + v * Vec::lanes;
      combine(error_at(a, r, v), Vec::load(acc), r, v).store(acc);
    }
  }
}

// One sum over all rows, first of these rows and then onto acc: a single chain over the W * F
// errors of a window loses 4.5e-7 of a score of 0.4 at W * F = 290, two levels 8e-8.
template <class Combine>
inline void over_rows(const slidecell::ErrorColumns& a, Combine combine) {
  for (std::int64_t v = 0; v < a.vectors; ++v) {
    Vec sum(0.0f);
    for (std::int64_t r = 0; r < a.rows; ++r) sum = combine(error_at(a, r, v), sum, r, v);
    float* acc = a.acc + v * Vec::lanes;
    (Vec::load(acc) + sum).store(acc);
  }
}

template <class Combine>
inline void add_errors(const slidecell::ErrorColumns& a, Combine combine) {
  if (a.acc_stride == 0) {
    over_rows(a, combine);
  } else {
    for_rows(a, combine);
  }
}

void add_squared_error_columns(const slidecell::ErrorColumns& a) {
  add_errors(a,
             [](Vec error, Vec acc, std::int64_t, std::int64_t) { return fma(error, error, acc); });
}
void add_absolute_error_columns(const slidecell::ErrorColumns& a) {
  add_errors(a, [](Vec error, Vec acc, std::int64_t, std::int64_t) { return acc + abs(error); });
}
void add_calibrated_error_columns(const slidecell::ErrorColumns& a) {
  add_errors(a, [&a](Vec error, Vec acc, std::int64_t r, std::int64_t) {
    return acc + calibrated(error, a.slope[r], a.intercept[r]);
  });
}
void add_gaussian_error_columns(const slidecell::ErrorColumns& a) {
  add_errors(a, [&a](Vec error, Vec acc, std::int64_t r, std::int64_t v) {
    return add_gaussian(error, Vec::load(a.log_variance + r * a.stride + v * Vec::lanes), acc);
  });
}
void subtract_columns(const slidecell::ErrorColumns& a) {
  for_rows(a, [](Vec error, Vec, std::int64_t, std::int64_t) { return error; });
}

}  // namespace
