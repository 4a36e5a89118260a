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
  if (a.d_next) {
    accumulate<rows, vectors>(w + rows, a.d_next + column, slidecell::kTrainTile, depth, d_h);
  }
}

// What the formula of a backward step sees of one unit in one group of columns.
struct BackwardUnit {
  const slidecell::BackwardStep& a;
  std::int64_t at;
  std::int64_t gate_size;  // from one gate to the next

  Vec gate(int g) const { return Vec::load(a.gates + g * gate_size + at); }
  Vec h() const { return Vec::load(a.h + at); }
  Vec h_before() const { return a.h_before ? Vec::load(a.h_before + at) : Vec(0.0f); }
  bool has_c_before() const { return a.c_before != nullptr; }
  Vec c_before() const { return Vec::load(a.c_before + at); }
};

template <class Cell, int rows, int vectors>
void backward_block(const slidecell::BackwardStep& a, const float* w, std::int64_t j,
                    std::int64_t column) {
  constexpr slidecell::CellTraits traits = Form<Cell>::traits;
  constexpr int gates = traits.tile_gates;
  Vec d_h[rows][vectors];
  hidden_gradient(a, w, traits.recurrent.count * a.hidden, column, d_h);
  const std::int64_t gate_size = a.hidden * kTrainTile;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if (j + r >= a.hidden) break;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t at = (j + r) * kTrainTile + column + v * Vec::lanes;
      Vec d = d_h[r][v], d_state(0.0f), d_gates[gates];
      if constexpr (traits.has_c || traits.carries_h) d_state = Vec::load(a.d_state + at);
      if constexpr (traits.carries_h) d = d + d_state;
      if (a.d_out) d = d + Vec::load(a.d_out + at);
      Cell::backward(BackwardUnit{a, at, gate_size}, d, d_state, d_gates);
#pragma GCC unroll 4
      for (int g = 0; g < gates; ++g) d_gates[g].store(a.d_gates + g * gate_size + at);
      if constexpr (traits.has_c || traits.carries_h) d_state.store(a.d_state + at);
    }
  }
}

template <class Cell, int rows, int most_vectors>
void backward_step(const slidecell::BackwardStep& a) {
  constexpr int gates = Form<Cell>::traits.recurrent.count;
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += rows, w += (1 + gates * a.hidden) * rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      backward_block<Cell, rows, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
  }
}

}  // namespace
