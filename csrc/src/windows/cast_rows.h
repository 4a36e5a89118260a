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

// What a row is, for windows that touch it. States are flags, so that several rows have one.
using RowState = std::uint8_t;
constexpr RowState kWholeRow = 0;
constexpr RowState kMissingRow = 1;   // a value is NaN or infinite
constexpr RowState kTooLargeRow = 2;  // none is, but float32 cannot hold one, scaled

// Rows first .. first+n-1 of `series` as float32, column c of row first+r at
// out[r * out_row_stride + c * out_col_stride] (strides in floats; they may not overlap).
// bad == nullptr: values are copied as they are, NaN included; returns 0.
// Else bad[r] is the row's state; a row that is not whole is written as zeros. Returns all states
// together.
// The caller guarantees 0 <= first, first + n <= series.rows. No allocation, no exception.
RowState cast_rows(const SeriesView& series, std::int64_t first, std::int64_t n,
                   const ColumnScaler* scaler,  // null: no scaling
                   float* out, std::ptrdiff_t out_row_stride, std::ptrdiff_t out_col_stride,
                   RowState* bad);  // [n] or null

// Whether a row of the series could be kTooLargeRow at all.
bool holds_too_large(const SeriesView& series, const ColumnScaler* scaler);

}  // namespace slidecell
