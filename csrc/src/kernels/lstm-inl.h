// One LSTM step, lanes are windows. The gates never leave the registers.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// Units j .. j+units-1, groups of columns v0 .. v0+vectors-1.
template <int units, int vectors>
void lstm_block(const slidecell::StepColumns& a, const float* w, std::int64_t j, std::int64_t v0) {
  using V = Vecs<vectors>;
  const Activations act{a.activation, a.recurrent_activation};
  Vec acc[4 * units][vectors];
  clear(acc);
  if (a.h) accumulate<4 * units, vectors>(w, a.h + v0 * Vec::lanes, a.stride, a.state, acc);
#pragma GCC unroll 4
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const float* p = a.p + 4 * (j + u) * a.p_stride;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    V gates[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) {
      gates[g] = V::of(acc[4 * u + g]) + V::load(p + g * a.p_stride, a.p_col + v0);
    }
    V c = a.h ? V::load(a.c + at) : V(0.0f);
    const V h = lstm_cell(act, gates, c);
    c.store(a.c + at);
    h.store(a.h_out + at);
  }
}

template <int units, int most_vectors>
void lstm_step_columns(const slidecell::StepColumns& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units, w += a.state * 4 * units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      lstm_block<units, decltype(count)::value>(a, w, j, v);
    });
  }
}

}  // namespace
