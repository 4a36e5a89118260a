// One GRU step, lanes are windows, with the reset gate after or before the recurrent product.
#pragma once

#include "kernels/kernel_table.h"

namespace {

// reset_after: n = act(P_n + r (W_hn h + b_hn)).
template <int units, int vectors>
void gru_block(const slidecell::StepColumns& a, const float* w, std::int64_t j, std::int64_t v0) {
  using V = Vecs<vectors>;
  const Activations act{a.activation, a.recurrent_activation};
  Vec acc[3 * units][vectors];
  clear(acc);
  if (a.h) accumulate<3 * units, vectors>(w, a.h + v0 * Vec::lanes, a.stride, a.state, acc);
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const float* p = a.p + 3 * (j + u) * a.p_stride;
    const std::int32_t* col = a.p_col + v0;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    const V r = gru_gate(act, V::of(acc[3 * u]) + V::load(p, col));
    const V z = gru_gate(act, V::of(acc[3 * u + 1]) + V::load(p + a.p_stride, col));
    const V m = V::of(acc[3 * u + 2]) + V(a.b_hn[j + u]);
    const V n = gru_candidate(act, fma(r, m, V::load(p + 2 * a.p_stride, col)));
    const V h = a.h ? V::load(a.h + at) : V(0.0f);
    gru_blend(z, n, h).store(a.h_out + at);
  }
}

template <int units, int most_vectors>
void gru_step_columns(const slidecell::StepColumns& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += units, w += a.state * 3 * units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      gru_block<units, decltype(count)::value>(a, w, j, v);
    });
  }
}

// reset_before, first half: z (before activation) and r*h of every unit go to scratch, because the
// candidate's product needs r*h of all of them.
template <int units, int vectors>
void gru_reset_block(const slidecell::StepColumns& a, const float* w, std::int64_t j,
                     std::int64_t v0) {
  using V = Vecs<vectors>;
  const Activations act{a.activation, a.recurrent_activation};
  Vec acc[2 * units][vectors];
  clear(acc);
  if (a.h) accumulate<2 * units, vectors>(w, a.h + v0 * Vec::lanes, a.stride, a.state, acc);
  float* reset_h = a.scratch + a.hidden * a.stride;  // [H][stride]
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const float* p = a.p + 3 * (j + u) * a.p_stride;
    const std::int32_t* col = a.p_col + v0;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    (V::of(acc[2 * u + 1]) + V::load(p + a.p_stride, col)).store(a.scratch + at);
    if (!a.h) continue;
    const V r = gru_gate(act, V::of(acc[2 * u]) + V::load(p, col));
    (r * V::load(a.h + at)).store(reset_h + at);
  }
}

// reset_before, second half: n = act(W_hn (r h) + P_n), where P_n holds both biases.
template <int units, int vectors>
void gru_candidate_block(const slidecell::StepColumns& a, const float* w, std::int64_t j,
                         std::int64_t v0) {
  using V = Vecs<vectors>;
  const Activations act{a.activation, a.recurrent_activation};
  const float* reset_h = a.scratch + a.hidden * a.stride;
  Vec acc[units][vectors];
  clear(acc);
  if (a.h) accumulate<units, vectors>(w, reset_h + v0 * Vec::lanes, a.stride, a.state, acc);
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const float* p = a.p + (3 * (j + u) + 2) * a.p_stride;
    const std::ptrdiff_t at = (j + u) * a.stride + v0 * Vec::lanes;
    const V n = gru_candidate(act, V::of(acc[u]) + V::load(p, a.p_col + v0));
    const V z = gru_gate(act, V::load(a.scratch + at));
    const V h = a.h ? V::load(a.h + at) : V(0.0f);
    gru_blend(z, n, h).store(a.h_out + at);
  }
}

template <int units, int most_vectors>
void gru_step_columns_reset_before(const slidecell::StepColumns& a) {
  const float* w = a.w;
  for (std::int64_t j = 0; j < a.hidden; j += 2 * units, w += a.state * 4 * units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      gru_reset_block<2 * units, decltype(count)::value>(a, w, j, v);
    });
  }
  w = a.w_new;
  for (std::int64_t j = 0; j < a.hidden; j += 4 * units, w += a.state * 4 * units) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      gru_candidate_block<4 * units, decltype(count)::value>(a, w, j, v);
    });
  }
}

}  // namespace
