// Training: between rows of numbers, as torch has them, and columns of a tile.
#pragma once

#include "kernels/train_table.h"

namespace {

inline void transpose_columns(const slidecell::Transpose& a) {
  constexpr std::int64_t lanes = Vec::lanes;
  for (std::int64_t r0 = 0; r0 < a.rows; r0 += lanes) {
    const std::int64_t rows = a.rows - r0 < lanes ? a.rows - r0 : lanes;
    for (std::int64_t c0 = 0; c0 < a.columns; c0 += lanes) {
      const std::int64_t columns = a.columns - c0 < lanes ? a.columns - c0 : lanes;
      const float* in = a.in + r0 * a.in_stride + c0;
      float* out = a.out + c0 * a.out_stride + r0;
      Vec block[lanes];
      if (rows == lanes && columns == lanes) {
#pragma GCC unroll 16
        for (int k = 0; k < lanes; ++k) block[k] = Vec::load(in + k * a.in_stride);
        transpose(block);
#pragma GCC unroll 16
        for (int k = 0; k < lanes; ++k) block[k].store(out + k * a.out_stride);
        continue;
      }
#pragma GCC unroll 16
      for (int k = 0; k < lanes; ++k) {
        block[k] = k < rows ? Vec::load(in + k * a.in_stride, columns) : Vec(0.0f);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int k = 0; k < lanes; ++k) {
        if (k < columns) block[k].store(out + k * a.out_stride, rows);
      }
    }
  }
}

}  // namespace
