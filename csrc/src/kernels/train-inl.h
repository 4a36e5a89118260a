// Training: one step forward that keeps its gates. Lanes are windows.
#pragma once

#include "kernels/train_table.h"

namespace {

using slidecell::kTrainTile;

// acc[r][v] = w[r]
template <int rows, int vectors>
inline __attribute__((always_inline)) void broadcast_rows(const float* w,
                                                          Vec (&acc)[rows][vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec(w[r]);
  }
}

// acc[first + r][v] += sum over k ascending of w[k][r] x[k][v]
template <int first, int rows, int all, int vectors>
inline __attribute__((always_inline)) void accumulate_rows(
    const float* __restrict w,  // [depth][rows]
    const float* __restrict x,  // [depth][kTrainTile]
    std::int64_t depth, Vec (&acc)[all][vectors]) {
  for (std::int64_t k = 0; k < depth; ++k, w += rows, x += kTrainTile) {
    Vec column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = Vec::load(x + v * Vec::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Vec weight(w[r]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        acc[first + r][v] = fma(weight, column[v], acc[first + r][v]);
      }
    }
  }
}

// The gates of units j .. j+units-1, groups of columns from `column` on. A block of weights holds
// the biases, the inputs' and the recurrent weights one after the other; input_first and
// recurrent_rows say which of the 4 * units rows the two products enter.
template <int input_first, int recurrent_rows, int rows, int vectors>
inline __attribute__((always_inline)) void gate_sums(const slidecell::TrainStep& a, const float* w,
                                                     std::int64_t column,
                                                     Vec (&acc)[rows][vectors]) {
  constexpr int input_rows = rows - input_first;
  broadcast_rows(w, acc);
  w += rows;
  accumulate_rows<input_first, input_rows>(w, a.x + column, a.input, acc);
  w += a.input * input_rows;
  if (a.h) accumulate_rows<0, recurrent_rows>(w, a.h + column, a.hidden, acc);
}

template <int units, int vectors>
void lstm_train_block(const slidecell::TrainStep& a, const float* w, std::int64_t j,
                      std::int64_t column) {
  using V = Vecs<vectors>;
  Vec acc[4 * units][vectors];
  gate_sums<0, 4 * units>(a, w, column, acc);
  const std::int64_t gate = a.hidden * kTrainTile;
#pragma GCC unroll 4
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const std::int64_t at = (j + u) * kTrainTile + column;
    const V i = sigmoid(V::of(acc[u])), f = sigmoid(V::of(acc[units + u]));
    const V g = tanh(V::of(acc[2 * units + u])), o = sigmoid(V::of(acc[3 * units + u]));
    V c = i * g;
    if (a.c) c = fma(f, V::load(a.c + at), c);
    c.store(a.c_out + at);
    (o * tanh(c)).store(a.h_out + at);
    if (!a.gates) continue;
    i.store(a.gates + at);
    f.store(a.gates + gate + at);
    g.store(a.gates + 2 * gate + at);
    o.store(a.gates + 3 * gate + at);
  }
}

template <int units, int vectors>
void gru_train_block(const slidecell::TrainStep& a, const float* w, std::int64_t j,
                     std::int64_t column) {
  using V = Vecs<vectors>;
  Vec acc[4 * units][vectors];
  gate_sums<units, 3 * units>(a, w, column, acc);
  const std::int64_t gate = a.hidden * kTrainTile;
#pragma GCC unroll 4
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const std::int64_t at = (j + u) * kTrainTile + column;
    const V m = V::of(acc[u]), r = sigmoid(V::of(acc[units + u]));
    const V z = sigmoid(V::of(acc[2 * units + u]));
    const V n = tanh(fma(r, m, V::of(acc[3 * units + u])));
    const V h = a.h ? V::load(a.h + at) : V(0.0f);
    gru_blend(z, n, h).store(a.h_out + at);
    if (!a.gates) continue;
    m.store(a.gates + at);
    r.store(a.gates + gate + at);
    z.store(a.gates + 2 * gate + at);
    n.store(a.gates + 3 * gate + at);
  }
}

template <int units, int most_vectors>
void lstm_train_step(const slidecell::TrainStep& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      lstm_train_block<units, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
    w += 4 * units * (1 + a.input + a.hidden);
  }
}

template <int units, int most_vectors>
void gru_train_step(const slidecell::TrainStep& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      gru_train_block<units, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
    w += units * (4 + 3 * (a.input + a.hidden));
  }
}

}  // namespace
