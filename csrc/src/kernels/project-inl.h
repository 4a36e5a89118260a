// Linear maps: the input projection, the projection of h, the head.
#pragma once

#include "kernels/kernel_table.h"

namespace {

template <int rows, int vectors>
inline __attribute__((always_inline)) void start_from(const float* bias,
                                                      Vec (&acc)[rows][vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec(bias[r]);
  }
}

template <int rows, int vectors>
inline __attribute__((always_inline)) void store_rows(const Vec (&acc)[rows][vectors],
                                                      std::int64_t live, float* out,
                                                      std::ptrdiff_t stride) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if (r < live) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v].store(out + r * stride + v * Vec::lanes);
    }
  }
}

template <int rows, int vectors>
void project_block(const slidecell::ProjectColumns& a, const float* w, std::int64_t row,
                   std::int64_t v0) {
  Vec acc[rows][vectors];
  start_from(w, acc);
  accumulate<rows, vectors>(w + rows, a.x + v0 * Vec::lanes, a.x_stride, a.depth, acc);
  store_rows(acc, a.rows - row, a.out + row * a.out_stride + v0 * Vec::lanes, a.out_stride);
}

// w: [blocks][1 + depth][rows of a block], the bias first.
template <int rows, int most_vectors>
void project_columns(const slidecell::ProjectColumns& a) {
  const float* w = a.w;
  for (std::int64_t row = 0; row < a.rows; row += rows, w += (1 + a.depth) * rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      project_block<rows, decltype(count)::value>(a, w, row, v);
    });
  }
}

template <int rows, int vectors>
void project_windows_block(const slidecell::ProjectWindows& a, const float* __restrict w,
                           std::int64_t row, std::int64_t v0) {
  Vec acc[rows][vectors];
  start_from(w, acc);
  for (std::int64_t t = 0; t < a.window; ++t) {
    for (std::int64_t f = 0; f < a.features; ++f) {
      w += rows;
      const float* __restrict x = a.x + a.feature[f] * a.x_stride + t * a.x_step;
      Vec column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = Vec::load(x + a.x_col[v0 + v]);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const Vec weight(w[r]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) acc[r][v] = fma(weight, column[v], acc[r][v]);
      }
    }
  }
  store_rows(acc, a.rows - row, a.out + row * a.out_stride + v0 * Vec::lanes, a.out_stride);
}

template <int rows, int most_vectors>
void project_windows(const slidecell::ProjectWindows& a) {
  const float* w = a.w;
  const std::int64_t depth = a.window * a.features;
  for (std::int64_t row = 0; row < a.rows; row += rows, w += (1 + depth) * rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      project_windows_block<rows, decltype(count)::value>(a, w, row, v);
    });
  }
}

}  // namespace
