// Rows of a series, of any dtype and layout, as float32: the one place where input is cast.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slidecell/series.hpp"

namespace slidecell {

// scaled = (x - center) / scale, in float64, then cast to float32.
struct ColumnScaler {
  const double* center = nullptr;  // [F]
  const double* scale = nullptr;   // [F], not zero
};

// Rows first .. first+n-1 of `series` as float32, column c of row first+r at
// out[r * out_row_stride + c * out_col_stride] (strides in floats; they may not overlap).
// bad == nullptr: values are copied as they are, NaN included; returns false.
// Else bad[r] is 1 where any value of the row, scaled and cast, is NaN or infinite, and 0
// elsewhere; a bad row is written as zeros. Returns true if any row is bad.
// The caller guarantees 0 <= first, first + n <= series.rows. No allocation, no exception.
bool cast_rows(const SeriesView& series, std::int64_t first, std::int64_t n,
               const ColumnScaler* scaler,  // null: no scaling
               float* out, std::ptrdiff_t out_row_stride, std::ptrdiff_t out_col_stride,
               std::uint8_t* bad);  // [n] or null

}  // namespace slidecell
