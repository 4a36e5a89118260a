// Training: one step back. Lanes are windows; the gradient of h never leaves the registers.
#pragma once

#include "kernels/train_table.h"

namespace {

// Rows j .. j+rows-1 of the gradient of h: what later steps and the outside add to it. Rows of
// d_next beyond `depth` belong to a product that h does not enter.
template <int rows, int vectors>
inline __attribute__((always_inline)) void hidden_gradient(const slidecell::BackwardStep& a,
                                                           const float* w, std::int64_t depth,
                                                           std::int64_t column,
                                                           Vec (&d_h)[rows][vectors]) {
  broadcast_rows(w, d_h);
  if (a.d_next) accumulate_rows<0, rows>(w + rows, a.d_next + column, depth, d_h);
}

// With h = o tanh(c): dh/do_sum = h (1 - o), and dh/dc = o (1 - tanh(c)^2) = o - h h / o, which
// needs no second tanh. sigmoid() keeps o above 2^-87, so the quotient exists.
template <int rows, int vectors>
void lstm_backward_block(const slidecell::BackwardStep& a, const float* w, std::int64_t j,
                         std::int64_t column) {
  const Vec one(1.0f);
  Vec d_h[rows][vectors];
  hidden_gradient(a, w, 4 * a.hidden, column, d_h);
  const std::int64_t gate = a.hidden * kTrainTile;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if (j + r >= a.hidden) break;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = (j + r) * kTrainTile + column + v * Vec::lanes;
      const Vec i = Vec::load(a.gates + at), f = Vec::load(a.gates + gate + at);
      const Vec g = Vec::load(a.gates + 2 * gate + at), o = Vec::load(a.gates + 3 * gate + at);
      const Vec h = Vec::load(a.h + at);
      const Vec d = a.d_out ? d_h[r][v] + Vec::load(a.d_out + at) : d_h[r][v];
      const Vec d_c = fma(d, o - quotient(h * h, o), Vec::load(a.d_state + at));
      const Vec d_f = a.c ? d_c * Vec::load(a.c + at) * (f * (one - f)) : Vec(0.0f);
      (d_c * g * (i * (one - i))).store(a.d_gates + at);
      d_f.store(a.d_gates + gate + at);
      (d_c * i * (one - g * g)).store(a.d_gates + 2 * gate + at);
      (d * h * (one - o)).store(a.d_gates + 3 * gate + at);
      (d_c * f).store(a.d_state + at);
    }
  }
}

// h' = n + z (h - n), n = tanh(n_sum), n_sum = W_in x + b_in + r m.
template <int rows, int vectors>
void gru_backward_block(const slidecell::BackwardStep& a, const float* w, std::int64_t j,
                        std::int64_t column) {
  const Vec one(1.0f);
  Vec d_h[rows][vectors];
  hidden_gradient(a, w, 3 * a.hidden, column, d_h);
  const std::int64_t gate = a.hidden * kTrainTile;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if (j + r >= a.hidden) break;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = (j + r) * kTrainTile + column + v * Vec::lanes;
      const Vec m = Vec::load(a.gates + at), reset = Vec::load(a.gates + gate + at);
      const Vec z = Vec::load(a.gates + 2 * gate + at), n = Vec::load(a.gates + 3 * gate + at);
      const Vec h = a.h ? Vec::load(a.h + at) : Vec(0.0f);
      Vec d = d_h[r][v] + Vec::load(a.d_state + at);
      if (a.d_out) d = d + Vec::load(a.d_out + at);
      const Vec kept = one - z;
      const Vec d_n = d * kept * (one - n * n);
      const Vec d_m = d_n * reset;
      d_m.store(a.d_gates + at);
      (d_m * m * (one - reset)).store(a.d_gates + gate + at);
      (d * (h - n) * (z * kept)).store(a.d_gates + 2 * gate + at);
      d_n.store(a.d_gates + 3 * gate + at);
      (d * z).store(a.d_state + at);
    }
  }
}

template <int rows, int most_vectors>
void lstm_backward_step(const slidecell::BackwardStep& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += rows, w += (1 + 4 * a.hidden) * rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      lstm_backward_block<rows, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
  }
}

template <int rows, int most_vectors>
void gru_backward_step(const slidecell::BackwardStep& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += rows, w += (1 + 3 * a.hidden) * rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      gru_backward_block<rows, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
  }
}

}  // namespace
