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
  // Contiguous float32, row-major.
  SeriesView(const float* data_, std::int64_t rows_, std::int64_t cols_)
      : data(data_),
        rows(rows_),
        cols(cols_),
        row_stride(static_cast<std::ptrdiff_t>(sizeof(float)) * cols_),
        col_stride(sizeof(float)) {}
};

}  // namespace slidecell
