// Training: sums over windows, which become the gradients of weights. Lanes are columns of the
// weights; a window's gate gradient is broadcast.
#pragma once

#include "kernels/train_table.h"

namespace {

constexpr std::int64_t kLineFloats = 16;

template <class V, int rows, int vectors, bool fetch>
inline __attribute__((always_inline)) void sum_products(const slidecell::AddProducts& a,
                                                        const float* __restrict d,
                                                        const float* __restrict z,
                                                        const float* ahead,
                                                        V (&acc)[rows][vectors]) {
  for (std::int64_t n = 0; n < a.columns; ++n, ++d, z += a.z_stride) {
    if (fetch) __builtin_prefetch(ahead + n * kLineFloats, 0, 2);
    V column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = V::load(z + v * V::lanes);
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r) {
      const V gradient(d[r * kTrainTile]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v] = fma(gradient, column[v], acc[r][v]);
    }
  }
}

// Rows row .. row+rows-1, columns from q on. Returns what is left to fetch.
template <class V, int rows, int vectors>
const float* products_block(const slidecell::AddProducts& a, std::int64_t row, std::int64_t q,
                            const float* ahead) {
  V acc[rows][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = V(0.0f);
  }
  if (ahead < a.ahead_end) {
    sum_products<V, rows, vectors, true>(a, a.d + row * kTrainTile, a.z + q, ahead, acc);
    ahead += a.columns * kLineFloats;
  } else {
    sum_products<V, rows, vectors, false>(a, a.d + row * kTrainTile, a.z + q, ahead, acc);
  }
  // Added, not continued: two short sums lose less than one long one.
  float* sums = a.sums + row * a.sums_stride + q;
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      float* at = sums + r * a.sums_stride + v * V::lanes;
      (V::load(at) + acc[r][v]).store(at);
    }
  }
  return ahead;
}

template <class V, int rows, int vectors>
const float* products_panel(const slidecell::AddProducts& a, std::int64_t q, const float* ahead) {
  for (std::int64_t row = 0; row < a.rows; row += rows) {
    ahead = products_block<V, rows, vectors>(a, row, q, ahead);
  }
  return ahead;
}

// `most` vectors of columns at a time, then what is left; always about `sums` sums in registers.
template <int sums, int most>
const float* add_products(const slidecell::AddProducts& a) {
  static_assert(most == 3 || most == 4, "the ends below");
  static_assert(sums % (sums / most) == 0 && sums % (sums / 3) == 0 && sums % 2 == 0,
                "every panel below takes the rows whole");
  const std::int64_t rest = a.width % Vec::lanes;
  const bool half = rest > 0 && rest <= HalfVec::lanes;
  std::int64_t vectors = a.width / Vec::lanes + (rest > HalfVec::lanes ? 1 : 0), q = 0;
  const float* ahead = a.ahead;
  for (; vectors >= most; vectors -= most, q += most * Vec::lanes) {
    ahead = products_panel<Vec, sums / most, most>(a, q, ahead);
  }
  if (vectors == 3) {
    ahead = products_panel<Vec, sums / 3, 3>(a, q, ahead);
  } else if (vectors == 2) {
    ahead = products_panel<Vec, sums / 2, 2>(a, q, ahead);
  } else if (vectors == 1) {
    ahead = products_panel<Vec, sums, 1>(a, q, ahead);
  }
  if (half) ahead = products_panel<HalfVec, sums, 1>(a, q + vectors * Vec::lanes, ahead);
  return ahead;
}

}  // namespace
