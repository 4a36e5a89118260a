// A view of rows in time order, in the dtype and layout that they have in memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slidecell {

enum class DType : std::uint8_t { f32, f64, f16, i8, i16, i32, i64, u8, u16, u32, u64, boolean };

// series [rows, cols]; strides in bytes, may be negative or zero.
struct SeriesView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t col_stride = 0;

  SeriesView() = default;
  // Contiguous float32 or float64, row-major. Null only where there are no rows.
  SeriesView(const float* data_, std::int64_t rows_, std::int64_t cols_)
      : SeriesView(data_, DType::f32, sizeof(float), rows_, cols_) {}
  SeriesView(const double* data_, std::int64_t rows_, std::int64_t cols_)
      : SeriesView(data_, DType::f64, sizeof(double), rows_, cols_) {}
  SeriesView(std::nullptr_t, std::int64_t rows_, std::int64_t cols_)
      : SeriesView(nullptr, DType::f32, sizeof(float), rows_, cols_) {}

 private:
  SeriesView(const void* data_, DType dtype_, std::ptrdiff_t size, std::int64_t rows_,
             std::int64_t cols_)
      : data(data_),
        dtype(dtype_),
        rows(rows_),
        cols(cols_),
        row_stride(size * cols_),
        col_stride(size) {}
};

}  // namespace slidecell
