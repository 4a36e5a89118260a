// What follows the products of a block of rows: gates, states, and h as pairs. `sum(row, v)` gives
// the recurrent sum of a row of the block and of group v of columns.
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

// Units j and j+1 of one group of columns: `parts` words each.
template <int parts>
inline void store_pairs(std::uint32_t* out, std::int64_t pairs, std::ptrdiff_t stride,
                        std::int64_t j, std::ptrdiff_t column, Vec even, Vec odd) {
  out += j / 2 * stride + column;
#pragma GCC unroll 3
  for (int part = 0; part < parts; ++part) {
    const PairVec both = PairVec::of(even, odd);
    both.store(out + part * pairs * stride);
    if (part + 1 < parts) {
      even = even - both.low();
      odd = odd - both.high();
    }
  }
}

// Runs unit(u, v) for the units u and u+1 of a block that starts with unit j, and passes both h on.
template <int units, int vectors, class Unit, class Pair>
inline __attribute__((always_inline)) void for_pairs(const MatrixStep& a, std::int64_t j, Unit unit,
                                                     Pair pair) {
#pragma GCC unroll 4
  for (int u = 0; u < units; u += 2) {
    if (j + u >= a.hidden) break;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const Vec even = unit(u, v);
      const Vec odd = j + u + 1 < a.hidden ? unit(u + 1, v) : Vec(0.0f);
      pair(u, v, even, odd);
    }
  }
}

template <int parts, int units, int vectors, class Sum>
inline __attribute__((always_inline)) void lstm_cells(const MatrixStep& a, std::int64_t j,
                                                      std::int64_t v0, Sum sum) {
  const std::ptrdiff_t column = v0 * Vec::lanes;
  for_pairs<units, vectors>(
      a, j,
      [&](int u, int v) __attribute__((always_inline)) {
        const float* p = a.p + 4 * (j + u) * a.p_stride + a.p_col[v0 + v];
        const std::ptrdiff_t at = (j + u) * a.stride + column + v * Vec::lanes;
        const Vec gates[4] = {sum(4 * u, v) + Vec::load(p),
                              sum(4 * u + 1, v) + Vec::load(p + a.p_stride),
                              sum(4 * u + 2, v) + Vec::load(p + 2 * a.p_stride),
                              sum(4 * u + 3, v) + Vec::load(p + 3 * a.p_stride)};
        Vec c = a.h_pairs ? Vec::load(a.c + at) : Vec(0.0f);
        const Vec h = scaled_lstm_cell<grade_of<parts>()>(gates, c);
        c.store(a.c + at);
        h.store(a.h_out + at);
        return h;
      },
      [&](int u, int v, Vec even, Vec odd) __attribute__((always_inline)) {
        store_pairs<parts>(a.h_pairs_out, a.pairs, a.stride, j + u, column + v * Vec::lanes, even,
                           odd);
      });
}

// h' = n + z (h - n), with z before activation; stored.
template <int parts>
inline __attribute__((always_inline)) Vec gru_output(const MatrixStep& a, std::ptrdiff_t at, Vec z,
                                                     Vec n) {
  const Vec h = a.h_pairs ? Vec::load(a.h + at) : Vec(0.0f);
  const Vec out = fma(scaled_sigmoid<grade_of<parts>()>(z), h - n, n);
  out.store(a.h_out + at);
  return out;
}

// reset_after: n = act(P_n + r (W_hn h + b_hn)).
template <int parts, int units, int vectors, class Sum>
inline __attribute__((always_inline)) void gru_cells(const MatrixStep& a, std::int64_t j,
                                                     std::int64_t v0, Sum sum) {
  const std::ptrdiff_t column = v0 * Vec::lanes;
  for_pairs<units, vectors>(
      a, j,
      [&](int u, int v) __attribute__((always_inline)) {
        const float* p = a.p + 3 * (j + u) * a.p_stride + a.p_col[v0 + v];
        const Vec r = scaled_sigmoid<grade_of<parts>()>(sum(3 * u, v) + Vec::load(p));
        const Vec z = sum(3 * u + 1, v) + Vec::load(p + a.p_stride);
        const Vec n = scaled_tanh<grade_of<parts>()>(
            fma(r, sum(3 * u + 2, v) + Vec(a.b_hn[j + u]), Vec::load(p + 2 * a.p_stride)));
        return gru_output<parts>(a, (j + u) * a.stride + column + v * Vec::lanes, z, n);
      },
      [&](int u, int v, Vec even, Vec odd) __attribute__((always_inline)) {
        store_pairs<parts>(a.h_pairs_out, a.pairs, a.stride, j + u, column + v * Vec::lanes, even,
                           odd);
      });
}

// reset_before, first half: z (before activation) goes to scratch and r*h to reset_pairs.
template <int parts, int units, int vectors, class Sum>
inline __attribute__((always_inline)) void gru_reset_cells(const MatrixStep& a, std::int64_t j,
                                                           std::int64_t v0, Sum sum) {
  const std::ptrdiff_t column = v0 * Vec::lanes;
  for_pairs<units, vectors>(
      a, j,
      [&](int u, int v) __attribute__((always_inline)) {
        const float* p = a.p + 3 * (j + u) * a.p_stride + a.p_col[v0 + v];
        const std::ptrdiff_t at = (j + u) * a.stride + column + v * Vec::lanes;
        (sum(2 * u + 1, v) + Vec::load(p + a.p_stride)).store(a.scratch + at);
        if (!a.h_pairs) return Vec(0.0f);
        return scaled_sigmoid<grade_of<parts>()>(sum(2 * u, v) + Vec::load(p)) *
               Vec::load(a.h + at);
      },
      [&](int u, int v, Vec even, Vec odd) __attribute__((always_inline)) {
        if (!a.h_pairs) return;
        store_pairs<parts>(a.reset_pairs, a.pairs, a.stride, j + u, column + v * Vec::lanes, even,
                           odd);
      });
}

// reset_before, second half: n = act(W_hn (r h) + P_n), where P_n holds both biases.
template <int parts, int units, int vectors, class Sum>
inline __attribute__((always_inline)) void gru_candidate_cells(const MatrixStep& a, std::int64_t j,
                                                               std::int64_t v0, Sum sum) {
  const std::ptrdiff_t column = v0 * Vec::lanes;
  for_pairs<units, vectors>(
      a, j,
      [&](int u, int v) __attribute__((always_inline)) {
        const float* p = a.p + (3 * (j + u) + 2) * a.p_stride + a.p_col[v0 + v];
        const std::ptrdiff_t at = (j + u) * a.stride + column + v * Vec::lanes;
        const Vec n = scaled_tanh<grade_of<parts>()>(sum(u, v) + Vec::load(p));
        return gru_output<parts>(a, at, Vec::load(a.scratch + at), n);
      },
      [&](int u, int v, Vec even, Vec odd) __attribute__((always_inline)) {
        store_pairs<parts>(a.h_pairs_out, a.pairs, a.stride, j + u, column + v * Vec::lanes, even,
                           odd);
      });
}

template <int rows, int vectors, class Sum>
inline __attribute__((always_inline)) void project_rows(const MatrixProject& a, std::int64_t row,
                                                        std::int64_t v0, Sum sum) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    if (row + r >= a.rows) break;
    const Vec bias(a.bias[row + r]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      (sum(r, v) + bias).store(a.out + (row + r) * a.stride + (v0 + v) * Vec::lanes);
    }
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
