// What follows the products of a block of rows: gates, states, and h as pairs. `sum(row)` gives the
// recurrent sums of a row of the block, of all groups of columns.
#pragma once

#include "kernels/cell_unit-inl.h"
#include "kernels/matrix_table.h"
#include "kernels/scaled-inl.h"

namespace {

using slidecell::MatrixProject;
using slidecell::MatrixStep;

template <int parts>
constexpr Grade grade_of() {
  return parts == 1 ? Grade::rough : Grade::fine;
}

// Units j and j+1, `parts` words per column.
template <int parts, int n>
inline __attribute__((always_inline)) void store_pairs(const MatrixStep& a, std::uint32_t* out,
                                                       std::int64_t j, std::int64_t v0,
                                                       Vecs<n> even, Vecs<n> odd) {
  out += j / 2 * a.stride + v0 * Vec::lanes;
#pragma GCC unroll 3
  for (int part = 0; part < parts; ++part) {
#pragma GCC unroll 8
    for (int v = 0; v < n; ++v) {
      const PairVec both = PairVec::of(even.v[v], odd.v[v]);
      both.store(out + part * a.pairs * a.stride + v * Vec::lanes);
      if (part + 1 < parts) {
        even.v[v] = even.v[v] - both.low();
        odd.v[v] = odd.v[v] - both.high();
      }
    }
  }
}

// A half of a step of units u and u+1 of the block that starts with unit j, groups of columns v0 ..
// v0+n-1. Both make one row of pairs.
template <class Cell, Half half, class Activations, int parts, int n, class Sum>
inline __attribute__((always_inline)) void matrix_pair(const MatrixStep& a, std::int64_t j, int u,
                                                       std::int64_t v0, Sum sum) {
  constexpr int gates = Product<Cell, half>::gates.count;
  if (j + u >= a.hidden) return;
  const auto unit_of = [&](int i) __attribute__((always_inline)) {
    const auto sum_of = [&](int g) __attribute__((always_inline)) { return sum(gates * i + g); };
    const ColumnsUnit<Cell, half, n, MatrixStep, decltype(sum_of)> unit(a, j + i, v0, sum_of);
    return run_unit<Cell, half>(Activations{}, unit);
  };
  const Vecs<n> even = unit_of(u);
  const Vecs<n> odd = j + u + 1 < a.hidden ? unit_of(u + 1) : Vecs<n>(0.0f);
  store_pairs<parts, n>(a, half == Half::first ? a.late_pairs : a.h_pairs_out, j + u, v0, even,
                        odd);
}

// Rows first .. first+rows-1 of the block that starts with row `block`.
template <int rows, int n, class Sum>
inline __attribute__((always_inline)) void project_rows(const MatrixProject& a, std::int64_t block,
                                                        int first, std::int64_t v0, Sum sum) {
#pragma GCC unroll 8
  for (int r = first; r < first + rows; ++r) {
    const std::int64_t row = block + r;
    if (row >= a.rows) break;
    (sum(r) + Vecs<n>(a.bias[row])).store(a.out + row * a.stride + v0 * Vec::lanes);
  }
}

// The products of the parts of w (first) and of x (second), the smallest first: 1, 3 or 6.
template <int parts>
struct Products;
template <>
struct Products<1> {
  static constexpr int count = 1, w[1] = {0}, x[1] = {0};
};
template <>
struct Products<2> {
  static constexpr int count = 3, w[3] = {1, 0, 0}, x[3] = {0, 1, 0};
};
template <>
struct Products<3> {
  static constexpr int count = 6, w[6] = {2, 1, 1, 0, 0, 0}, x[6] = {0, 1, 0, 2, 1, 0};
};

}  // namespace
