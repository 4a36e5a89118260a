// Linear maps: the input projection, the projection of h, the head.
#pragma once

#include "kernels/kernel_table.h"

namespace {

template <int rows, int vectors>
void project_block(const slidecell::ProjectColumns& a, const float* w, std::int64_t row,
                   std::int64_t v0) {
  Vec acc[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec(w[r]);
  }
  accumulate<rows, vectors>(w + rows, a.x + v0 * Vec::lanes, a.x_stride, a.depth, acc);
  float* out = a.out + row * a.out_stride + v0 * Vec::lanes;
  const std::int64_t live = a.rows - row;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if (r < live) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v].store(out + r * a.out_stride + v * Vec::lanes);
    }
  }
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

}  // namespace
