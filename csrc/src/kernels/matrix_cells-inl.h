// What follows the products of a block of rows: gates, states, and h as pairs. `sum(row)` gives the
// recurrent sums of a row of the block, of all groups of columns.
#pragma once

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

// unit(u) of every unit of a block that starts with unit j, two and two into `pairs`.
template <int parts, int units, int n, class Unit>
inline __attribute__((always_inline)) void for_pairs(const MatrixStep& a, std::uint32_t* pairs,
                                                     std::int64_t j, std::int64_t v0, Unit unit) {
#pragma GCC unroll 4
  for (int u = 0; u < units; u += 2) {
    if (j + u >= a.hidden) break;
    const Vecs<n> even = unit(u);
    const Vecs<n> odd = j + u + 1 < a.hidden ? unit(u + 1) : Vecs<n>(0.0f);
    store_pairs<parts, n>(a, pairs, j + u, v0, even, odd);
  }
}

// Units j .. j+units-1, groups of columns v0 .. v0+n-1.
template <int parts, int units, int n, class Sum>
inline __attribute__((always_inline)) void lstm_cells(const MatrixStep& a, std::int64_t j,
                                                      std::int64_t v0, Sum sum) {
  using V = Vecs<n>;
  for_pairs<parts, units, n>(a, a.h_pairs_out, j, v0, [&](int u) __attribute__((always_inline)) {
    const float* p = a.p + 4 * (j + u) * a.p_stride;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    V gates[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      gates[g] = sum(4 * u + g) + V::load(p + g * a.p_stride, a.p_col + v0);
    }
    V c = a.h_pairs ? V::load(a.c + at) : V(0.0f);
    const V h = scaled_lstm_cell<grade_of<parts>()>(gates, c);
    c.store(a.c + at);
    h.store(a.h_out + at);
    return h;
  });
}

// h' = n + z (h - n), with z before activation; stored.
template <int parts, class V>
inline __attribute__((always_inline)) V gru_output(const MatrixStep& a, std::ptrdiff_t at, V z,
                                                   V n) {
  const V h = a.h_pairs ? V::load(a.h + at) : V(0.0f);
  const V out = fma(scaled_sigmoid<grade_of<parts>()>(z), h - n, n);
  out.store(a.h_out + at);
  return out;
}

// reset_after: n = tanh(P_n + r (W_hn h + b_hn)).
template <int parts, int units, int n, class Sum>
inline __attribute__((always_inline)) void gru_cells(const MatrixStep& a, std::int64_t j,
                                                     std::int64_t v0, Sum sum) {
  using V = Vecs<n>;
  constexpr Grade grade = grade_of<parts>();
  for_pairs<parts, units, n>(a, a.h_pairs_out, j, v0, [&](int u) __attribute__((always_inline)) {
    const float* p = a.p + 3 * (j + u) * a.p_stride;
    const std::int32_t* col = a.p_col + v0;
    const V r = scaled_sigmoid<grade>(sum(3 * u) + V::load(p, col));
    const V z = sum(3 * u + 1) + V::load(p + a.p_stride, col);
    const V candidate = scaled_tanh<grade>(
        fma(r, sum(3 * u + 2) + V(a.b_hn[j + u]), V::load(p + 2 * a.p_stride, col)));
    return gru_output<parts>(a, (j + u) * a.stride + v0 * Vec::lanes, z, candidate);
  });
}

// reset_before, first half: z (before activation) goes to scratch and r*h to reset_pairs. With h
// zero nobody reads the latter.
template <int parts, int units, int n, class Sum>
inline __attribute__((always_inline)) void gru_reset_cells(const MatrixStep& a, std::int64_t j,
                                                           std::int64_t v0, Sum sum) {
  using V = Vecs<n>;
  for_pairs<parts, units, n>(a, a.reset_pairs, j, v0, [&](int u) __attribute__((always_inline)) {
    const float* p = a.p + 3 * (j + u) * a.p_stride;
    const std::int32_t* col = a.p_col + v0;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    (sum(2 * u + 1) + V::load(p + a.p_stride, col)).store(a.scratch + at);
    if (!a.h_pairs) return V(0.0f);
    return scaled_sigmoid<grade_of<parts>()>(sum(2 * u) + V::load(p, col)) * V::load(a.h + at);
  });
}

// reset_before, second half: n = tanh(W_hn (r h) + P_n), where P_n holds both biases.
template <int parts, int units, int n, class Sum>
inline __attribute__((always_inline)) void gru_candidate_cells(const MatrixStep& a, std::int64_t j,
                                                               std::int64_t v0, Sum sum) {
  using V = Vecs<n>;
  for_pairs<parts, units, n>(a, a.h_pairs_out, j, v0, [&](int u) __attribute__((always_inline)) {
    const float* p = a.p + (3 * (j + u) + 2) * a.p_stride;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    const V candidate = scaled_tanh<grade_of<parts>()>(sum(u) + V::load(p, a.p_col + v0));
    return gru_output<parts>(a, at, V::load(a.scratch + at), candidate);
  });
}

template <int rows, int n, class Sum>
inline __attribute__((always_inline)) void project_rows(const MatrixProject& a, std::int64_t row,
                                                        std::int64_t v0, Sum sum) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    if (row + r >= a.rows) break;
    (sum(r) + Vecs<n>(a.bias[row + r])).store(a.out + (row + r) * a.stride + v0 * Vec::lanes);
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
