// Training: one step forward that keeps its gates. Lanes are windows.
#pragma once

#include "kernels/cell_unit-inl.h"
#include "kernels/product-inl.h"
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

// The sums of units j .. j+units-1, groups of columns from `column` on. A block of weights holds
// the biases, the inputs' and the recurrent weights one after the other; the traits say which of
// the rows the two products enter.
template <class Cell, int units, int rows, int vectors>
inline __attribute__((always_inline)) void gate_sums(const slidecell::TrainStep& a, const float* w,
                                                     std::int64_t column,
                                                     Vec (&acc)[rows][vectors]) {
  constexpr slidecell::TrainGates input = Form<Cell>::traits.input;
  constexpr slidecell::TrainGates recurrent = Form<Cell>::traits.recurrent;
  static_assert(recurrent.first == 0 && (input.first + input.count) * units == rows,
                "the recurrent product's gates come first, the input's last");
  broadcast_rows(w, acc);
  w += rows;
  accumulate<input.count * units, vectors, input.first * units>(w, a.x + column, kTrainTile,
                                                                a.input, acc);
  w += a.input * input.count * units;
  if (a.h) accumulate<recurrent.count * units, vectors>(w, a.h + column, kTrainTile, a.hidden, acc);
}

// What the formula of a forward step sees of one unit in n groups of columns.
template <int n>
struct ForwardUnit {
  const slidecell::TrainStep& a;
  std::int64_t at;

  Vecs<n> c() const { return Vecs<n>::load(a.c + at); }
  void set_c(const Vecs<n>& c) const { c.store(a.c_out + at); }
  Vecs<n> h_before() const { return a.h ? Vecs<n>::load(a.h + at) : Vecs<n>(0.0f); }
};

template <class Cell, int units, int vectors>
void train_block(const slidecell::TrainStep& a, const float* w, std::int64_t j,
                 std::int64_t column) {
  using V = Vecs<vectors>;
  constexpr int gates = Form<Cell>::traits.tile_gates;
  Vec acc[gates * units][vectors];
  gate_sums<Cell, units>(a, w, column, acc);
  const std::int64_t gate_size = a.hidden * kTrainTile;
#pragma GCC unroll 4
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const std::int64_t at = (j + u) * kTrainTile + column;
    V own[gates];
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) own[g] = V::of(acc[g * units + u]);
    Cell::forward(ForwardUnit<vectors>{a, at}, own).store(a.h_out + at);
    if (!a.gates) continue;
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) own[g].store(a.gates + g * gate_size + at);
  }
}

template <class Cell, int units, int most_vectors>
void train_step(const slidecell::TrainStep& a) {
  constexpr slidecell::CellTraits traits = Form<Cell>::traits;
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      train_block<Cell, units, decltype(count)::value>(a, w, j, v * Vec::lanes);
    });
    w += units *
         (traits.tile_gates + traits.input.count * a.input + traits.recurrent.count * a.hidden);
  }
}

}  // namespace
