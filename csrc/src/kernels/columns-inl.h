// The column orientation: one step of any cell, lanes are windows. The gates never leave the
// registers.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/cell_unit-inl.h"
#include "kernels/product-inl.h"

namespace {

// Units j .. j+units-1, groups of columns v0 .. v0+vectors-1.
template <class Cell, Half half, int units, int vectors>
void step_block(const slidecell::StepColumns& a, const float* w, std::int64_t j, std::int64_t v0) {
  using Own = Product<Cell, half>;
  constexpr int gates = Own::gates.count;
  const NamedActivations act{a.activation, a.recurrent_activation};
  // [H][stride]: what the late product multiplies; there is no scratch without one.
  float* late = Form<Cell>::has_late ? a.scratch + a.hidden * a.stride : nullptr;
  Vec acc[gates * units][vectors];
  clear(acc);
  if (a.h) {
    const float* source = Own::late ? late : a.h;
    accumulate<gates * units, vectors>(w, source + v0 * Vec::lanes, a.stride, a.state, acc);
  }
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    Vecs<vectors> sums[gates];
#pragma GCC unroll 8
    for (int g = 0; g < gates; ++g) sums[g] = Vecs<vectors>::of(acc[gates * u + g]);
    const auto sum = [&sums](int g) __attribute__((always_inline)) { return sums[g]; };
    const ColumnsUnit<Cell, half, vectors, slidecell::StepColumns, decltype(sum)> unit(a, j + u, v0,
                                                                                       sum);
    const auto result = run_unit<Cell, half>(act, unit);
    if (half == Half::first && a.h) result.store(late + unit.at);
  }
}

template <class Cell, Half half, int rows, int most_vectors>
inline void step_half(const slidecell::StepColumns& a, const float* w) {
  constexpr int gates = Product<Cell, half>::gates.count, units = rows / gates;
  for (std::int64_t j = 0; j < a.hidden; j += units, w += a.state * gates * units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      step_block<Cell, half, units, decltype(count)::value>(a, w, j, v);
    });
  }
}

// rows: of sums that are held in registers, for up to most_vectors groups of columns.
template <class Cell, int rows, int most_vectors>
void step_columns(const slidecell::StepColumns& a) {
  if constexpr (Form<Cell>::has_late) {
    step_half<Cell, Half::first, rows, most_vectors>(a, a.w);
    step_half<Cell, Half::last, rows, most_vectors>(a, a.w_late);
  } else {
    step_half<Cell, Half::last, rows, most_vectors>(a, a.w);
  }
}

}  // namespace
