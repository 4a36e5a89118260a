// Training: sums over windows, which become the gradients of weights. Lanes are columns of the
// weights; a window's gate gradient is broadcast.
#pragma once

#include "kernels/train_table.h"

namespace {

template <int rows, int vectors>
void products_block(const slidecell::AddProducts& a, std::int64_t row, std::int64_t q) {
  const float* __restrict d = a.d + row * kTrainTile;
  const float* __restrict z = a.z + q;
  Vec acc[rows][vectors];
  clear(acc);
  for (std::int64_t n = 0; n < a.columns; ++n, ++d, z += a.z_stride) {
    Vec column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = Vec::load(z + v * Vec::lanes);
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r) {
      const Vec gradient(d[r * kTrainTile]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v] = fma(gradient, column[v], acc[r][v]);
    }
  }
  // Added, not continued: two short sums lose less than one long one.
  float* sums = a.sums + row * a.sums_stride + q;
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      float* at = sums + r * a.sums_stride + v * Vec::lanes;
      (Vec::load(at) + acc[r][v]).store(at);
    }
  }
}

template <int rows, int vectors>
void products_panel(const slidecell::AddProducts& a, std::int64_t panel) {
  for (std::int64_t row = 0; row < a.rows; row += rows) {
    products_block<rows, vectors>(a, row, panel * Vec::lanes);
  }
}

// `most` groups of columns at a time, then what is left; always about `sums` sums in registers.
template <int sums, int most>
void add_products(const slidecell::AddProducts& a) {
  static_assert(most == 3 || most == 4, "the ends below");
  std::int64_t p = 0;
  for (; p + most <= a.panels; p += most) products_panel<sums / most, most>(a, p);
  switch (a.panels - p) {
    case 3:
      return products_panel<sums / 3, 3>(a, p);
    case 2:
      return products_panel<sums / 2, 2>(a, p);
    case 1:
      return products_panel<sums, 1>(a, p);
    default:
      return;
  }
}

}  // namespace
