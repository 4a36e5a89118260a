// One LSTM step, lanes are windows. The gates never leave the registers.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// Units j .. j+units-1, groups of columns v0 .. v0+vectors-1.
template <int units, int vectors>
void lstm_block(const slidecell::StepColumns& a, const float* w, std::int64_t j, std::int64_t v0) {
  const Activations act{a.activation, a.recurrent_activation};
  Vec acc[4 * units][vectors];
  clear(acc);
  if (a.h) accumulate<4 * units, vectors>(w, a.h + v0 * Vec::lanes, a.stride, a.state, acc);
#pragma GCC unroll 4
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const float* p = a.p + 4 * (j + u) * a.p_stride;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const float* pv = p + a.p_col[v0 + v];
      const Vec gates[4] = {acc[4 * u + 0][v] + Vec::load(pv),
                            acc[4 * u + 1][v] + Vec::load(pv + a.p_stride),
                            acc[4 * u + 2][v] + Vec::load(pv + 2 * a.p_stride),
                            acc[4 * u + 3][v] + Vec::load(pv + 3 * a.p_stride)};
      Vec c = a.h ? Vec::load(a.c + at + v * Vec::lanes) : Vec(0.0f);
      const Vec h = lstm_cell(act, gates, c);
      c.store(a.c + at + v * Vec::lanes);
      h.store(a.h_out + at + v * Vec::lanes);
    }
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
