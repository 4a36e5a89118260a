// bf16 products by dot instructions: `rows` rows times `vectors` groups of columns are added up in
// registers, and the cells follow there, as in the float32 kernels.
#pragma once

#include "kernels/matrix_cells-inl.h"
#include "kernels/product-inl.h"

namespace {

// acc[r][v] += the products of all parts. w: the block of part 0, [pairs][rows].
template <int parts, int rows, int vectors>
inline __attribute__((always_inline)) void accumulate_pairs(slidecell::MatrixWeights w,
                                                            const std::uint32_t* x,  // group v0
                                                            std::ptrdiff_t stride,
                                                            std::int64_t pairs,
                                                            Vec (&acc)[rows][vectors]) {
  for (int i = 0; i < Products<parts>::count; ++i) {
    const std::uint32_t* wk = w.pairs + Products<parts>::w[i] * w.part;
    const std::uint32_t* xk = x + Products<parts>::x[i] * pairs * stride;
    for (std::int64_t k = 0; k < pairs; ++k, wk += rows, xk += stride) {
      PairVec column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = PairVec::load(xk + v * Vec::lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const PairVec weight = PairVec::all(wk[r]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) acc[r][v] = dot(weight, column[v], acc[r][v]);
      }
    }
  }
}

// Calls cells(first group, Count<vectors>, acc) for the block of rows at w, group after group.
template <int parts, int rows, int most_vectors, class Cells>
inline void for_block(slidecell::MatrixWeights w, const std::uint32_t* x, std::ptrdiff_t stride,
                      std::int64_t pairs, std::int64_t vectors, Cells cells) {
  for_vectors<most_vectors>(vectors, [&](std::int64_t v, auto count) {
    constexpr int n = decltype(count)::value;
    Vec acc[rows][n];
    clear(acc);
    if (x) accumulate_pairs<parts, rows, n>(w, x + v * Vec::lanes, stride, pairs, acc);
    cells(v, count, [&acc](int r) __attribute__((always_inline)) { return Vecs<n>::of(acc[r]); });
  });
}

constexpr int kDotVectors = 3;  // 8 rows x 3 groups + 3 columns + 1 weight = 28 of 32 registers

template <int parts>
void dot_project(const MatrixProject& a) {
  constexpr int rows = 8;
  slidecell::MatrixWeights w = a.w;
  for (std::int64_t row = 0; row < a.rows; row += rows, w.pairs += a.pairs * rows) {
    for_block<parts, rows, kDotVectors>(
        w, a.x, a.stride, a.pairs, a.vectors,
        [&](std::int64_t v, auto count, auto sum) __attribute__((always_inline)) {
          project_rows<rows, decltype(count)::value>(a, row, v, sum);
        });
  }
}

template <int parts>
void dot_lstm_step(const MatrixStep& a) {
  constexpr int units = 2;
  slidecell::MatrixWeights w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units, w.pairs += a.pairs * 4 * units) {
    for_block<parts, 4 * units, kDotVectors>(
        w, a.h_pairs, a.stride, a.pairs, a.vectors,
        [&](std::int64_t v, auto count, auto sum) __attribute__((always_inline)) {
          lstm_cells<parts, units, decltype(count)::value>(a, j, v, sum);
        });
  }
}

template <int parts>
void dot_gru_step(const MatrixStep& a) {
  constexpr int units = 2;
  slidecell::MatrixWeights w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units, w.pairs += a.pairs * 3 * units) {
    for_block<parts, 3 * units, kDotVectors>(
        w, a.h_pairs, a.stride, a.pairs, a.vectors,
        [&](std::int64_t v, auto count, auto sum) __attribute__((always_inline)) {
          gru_cells<parts, units, decltype(count)::value>(a, j, v, sum);
        });
  }
}

template <int parts>
void dot_gru_step_reset_before(const MatrixStep& a) {
  constexpr int reset_units = 4, candidate_units = 8;
  slidecell::MatrixWeights w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += reset_units, w.pairs += a.pairs * 2 * reset_units) {
    for_block<parts, 2 * reset_units, kDotVectors>(
        w, a.h_pairs, a.stride, a.pairs, a.vectors,
        [&](std::int64_t v, auto count, auto sum) __attribute__((always_inline)) {
          gru_reset_cells<parts, reset_units, decltype(count)::value>(a, j, v, sum);
        });
  }
  w = a.w_new;
  const std::uint32_t* reset = a.h_pairs ? a.reset_pairs : nullptr;
  for (std::int64_t j = 0; j < a.hidden;
       j += candidate_units, w.pairs += a.pairs * candidate_units) {
    for_block<parts, candidate_units, kDotVectors>(
        w, reset, a.stride, a.pairs, a.vectors,
        [&](std::int64_t v, auto count, auto sum) __attribute__((always_inline)) {
          gru_candidate_cells<parts, candidate_units, decltype(count)::value>(a, j, v, sum);
        });
  }
}

constexpr slidecell::MatrixKernels make_dot_kernels(const char* name, std::size_t index) {
  return {name,
          index,
          Vec::lanes,
          1,
          2,
          2,
          4,
          8,
          8,
          kDotVectors,
          false,
          {&dot_project<1>, &dot_project<2>, &dot_project<3>},
          {&dot_lstm_step<1>, &dot_lstm_step<2>, &dot_lstm_step<3>},
          {&dot_gru_step<1>, &dot_gru_step<2>, &dot_gru_step<3>},
          {&dot_gru_step_reset_before<1>, &dot_gru_step_reset_before<2>,
           &dot_gru_step_reset_before<3>}};
}

}  // namespace
