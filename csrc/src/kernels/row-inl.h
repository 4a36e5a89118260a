// The row orientation: lanes are hidden units, one window at a time, for the least latency.
// Sums run in the same order as in the column orientation, so that both give the same bits.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// acc[q][g] += sum over k ascending of w[q][k][g] x[k], for `panels` panels of `lanes` units. Two
// panels at once give enough independent chains to hide the latency of the multiply-add.
template <int gates, int panels>
inline __attribute__((always_inline)) void accumulate_row(
    const float* __restrict w,    // [panels][skip + depth][gates][lanes], from row `skip`
    std::ptrdiff_t panel_stride,  // floats from one panel to the next
    const float* __restrict x,    // [depth]
    std::int64_t depth, Vec (&acc)[panels][gates]) {
  for (std::int64_t k = 0; k < depth; ++k, w += gates * Vec::lanes) {
    const Vec value(x[k]);
#pragma GCC unroll 2
    for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
      for (int g = 0; g < gates; ++g) {
        acc[q][g] = fma(Vec::load(w + q * panel_stride + g * Vec::lanes), value, acc[q][g]);
      }
    }
  }
}

inline std::int64_t panels_of(std::int64_t size) { return (size + Vec::lanes - 1) / Vec::lanes; }

// Calls run(first panel, Count<1 or 2>).
template <class Run>
inline void for_panels(std::int64_t panels, Run run) {
  std::int64_t q = 0;
  for (; q + 2 <= panels; q += 2) run(q, Count<2>{});
  if (q < panels) run(q, Count<1>{});
}

template <int gates>
void project_row_gates(const slidecell::ProjectRow& a) {
  const std::ptrdiff_t panel_stride = (1 + a.depth) * gates * Vec::lanes;
  for_panels(a.panels, [&](std::int64_t q0, auto count) {
    constexpr int panels = decltype(count)::value;
    const float* w = a.w + q0 * panel_stride;
    Vec acc[panels][gates];
    for (int q = 0; q < panels; ++q) {
      for (int g = 0; g < gates; ++g) acc[q][g] = Vec::load(w + q * panel_stride + g * Vec::lanes);
    }
    accumulate_row<gates, panels>(w + gates * Vec::lanes, panel_stride, a.x, a.depth, acc);
    for (int q = 0; q < panels; ++q) {
      for (int g = 0; g < gates; ++g) {
        acc[q][g].store(a.out + ((q0 + q) * gates + g) * Vec::lanes);
      }
    }
  });
}

void project_row(const slidecell::ProjectRow& a) {
  switch (a.gates) {
    case 1:
      return project_row_gates<1>(a);
    case 3:
      return project_row_gates<3>(a);
    default:
      return project_row_gates<4>(a);
  }
}

// Recurrent sums of `gates` gates for panels q0 .. q0+panels-1, from zero.
template <int gates, int panels>
inline __attribute__((always_inline)) void recurrent_row(const float* w, const float* h,
                                                         std::int64_t depth, std::int64_t q0,
                                                         Vec (&acc)[panels][gates]) {
  clear(acc);
  const std::ptrdiff_t panel_stride = depth * gates * Vec::lanes;
  if (h) accumulate_row<gates, panels>(w + q0 * panel_stride, panel_stride, h, depth, acc);
}

inline std::int64_t live_lanes(std::int64_t hidden, std::int64_t j) {
  return hidden - j < Vec::lanes ? hidden - j : Vec::lanes;
}

void lstm_step_row(const slidecell::StepRow& a) {
  const Activations act{a.activation, a.recurrent_activation};
  for_panels(panels_of(a.hidden), [&](std::int64_t q0, auto count) {
    constexpr int panels = decltype(count)::value;
    Vec acc[panels][4];
    recurrent_row<4, panels>(a.w, a.h, a.state, q0, acc);
    for (int q = 0; q < panels; ++q) {
      const std::int64_t j = (q0 + q) * Vec::lanes, n = live_lanes(a.hidden, j);
      const float* p = a.p + 4 * j;
      const Vec gates[4] = {acc[q][0] + Vec::load(p), acc[q][1] + Vec::load(p + Vec::lanes),
                            acc[q][2] + Vec::load(p + 2 * Vec::lanes),
                            acc[q][3] + Vec::load(p + 3 * Vec::lanes)};
      Vec c = a.h ? Vec::load(a.c + j, n) : Vec(0.0f);
      const Vec h = lstm_cell(act, gates, c);
      c.store(a.c + j, n);
      h.store(a.h_out + j, n);
    }
  });
}

void gru_step_row(const slidecell::StepRow& a) {
  const Activations act{a.activation, a.recurrent_activation};
  for_panels(panels_of(a.hidden), [&](std::int64_t q0, auto count) {
    constexpr int panels = decltype(count)::value;
    Vec acc[panels][3];
    recurrent_row<3, panels>(a.w, a.h, a.state, q0, acc);
    for (int q = 0; q < panels; ++q) {
      const std::int64_t j = (q0 + q) * Vec::lanes, live = live_lanes(a.hidden, j);
      const float* p = a.p + 3 * j;
      const Vec r = activate(act.gate, acc[q][0] + Vec::load(p));
      const Vec z = acc[q][1] + Vec::load(p + Vec::lanes);
      const Vec n = activate(
          act.candidate, fma(r, acc[q][2] + Vec::load(a.b_hn + j), Vec::load(p + 2 * Vec::lanes)));
      const Vec h = a.h ? Vec::load(a.h + j, live) : Vec(0.0f);
      gru_blend(act, z, n, h).store(a.h_out + j, live);
    }
  });
}

// As gru_step_columns_reset_before: first z and r*h of all units, then the candidate.
void gru_step_row_reset_before(const slidecell::StepRow& a) {
  const Activations act{a.activation, a.recurrent_activation};
  const std::int64_t all_panels = panels_of(a.hidden);
  float* update = a.scratch;                             // [panels][lanes]
  float* reset_h = a.scratch + all_panels * Vec::lanes;  // [panels][lanes]
  for_panels(all_panels, [&](std::int64_t q0, auto count) {
    constexpr int panels = decltype(count)::value;
    Vec acc[panels][2];
    recurrent_row<2, panels>(a.w, a.h, a.state, q0, acc);
    for (int q = 0; q < panels; ++q) {
      const std::int64_t j = (q0 + q) * Vec::lanes;
      const float* p = a.p + 3 * j;
      (acc[q][1] + Vec::load(p + Vec::lanes)).store(update + j);
      if (!a.h) continue;
      const Vec r = activate(act.gate, acc[q][0] + Vec::load(p));
      (r * Vec::load(a.h + j, live_lanes(a.hidden, j))).store(reset_h + j);
    }
  });
  for_panels(all_panels, [&](std::int64_t q0, auto count) {
    constexpr int panels = decltype(count)::value;
    Vec acc[panels][1];
    recurrent_row<1, panels>(a.w_new, a.h ? reset_h : nullptr, a.state, q0, acc);
    for (int q = 0; q < panels; ++q) {
      const std::int64_t j = (q0 + q) * Vec::lanes, live = live_lanes(a.hidden, j);
      const Vec n = activate(act.candidate, acc[q][0] + Vec::load(a.p + 3 * j + 2 * Vec::lanes));
      const Vec h = a.h ? Vec::load(a.h + j, live) : Vec(0.0f);
      gru_blend(act, Vec::load(update + j), n, h).store(a.h_out + j, live);
    }
  });
}

}  // namespace
