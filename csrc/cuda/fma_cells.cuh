// One step of one layer in float32, for four units and four columns at a time. The gates never
// leave the registers; c and z belong to one thread and need no barrier.
#pragma once

#include "activations.cuh"
#include "fma_tile.cuh"

namespace slidecell {

// Where the cells of a layer find W_ih x + b.
struct ProjectedRows {
  const float* rows[4];  // of the four columns: [gates][padded]
};
struct LayerBelow {
  const float* h;  // [input][columns]
};

// A layer's step: its weights and states. h null: h and c are zero.
struct FmaStep {
  const LayerArgs& layer;
  const float* weights;
  int columns;
  const float* h;  // [hidden][columns]
  float* h_next;
  float* c;
  float *update, *reset;
};

// Gates first .. first+gates-1 of units j .. j+3, columns q .. q+3.
template <bool kOnChip, int gates>
__device__ __forceinline__ void load_input(const FmaStep& s, const ProjectedRows& input, int first,
                                           int j, int /*q*/, Block<gates>& in) {
#pragma unroll
  for (int v = 0; v < 4; ++v) {
#pragma unroll
    for (int g = 0; g < gates; ++g) {
      float units[4];
      spread(load4(input.rows[v] + (first + g) * s.layer.padded + j), units);
#pragma unroll
      for (int u = 0; u < 4; ++u) in.at[g][u][v] = units[u];
    }
  }
}
template <bool kOnChip, int gates>
__device__ __forceinline__ void load_input(const FmaStep& s, const LayerBelow& input, int first,
                                           int j, int q, Block<gates>& in) {
  const int padded = s.layer.padded, all = s.layer.cell == kLstm ? 4 : 3;
  start_from<gates, kOnChip>(s.weights + s.layer.bias + first * padded + j, padded, in);
  accumulate<gates, kOnChip>(s.weights + s.layer.w_ih + first * padded + j, all * padded, padded,
                             input.h + q, s.columns, s.layer.input, in);
}

// W_hh x for gates first .. of a layer with `all` gates.
template <bool kOnChip, int gates>
__device__ __forceinline__ void recur(const FmaStep& s, const float* x, int all, int first, int j,
                                      int q, Block<gates>& sum) {
  clear(sum);
  if (!s.h) return;
  accumulate<gates, kOnChip>(s.weights + s.layer.w_hh + first * s.layer.padded + j,
                             all * s.layer.padded, s.layer.padded, x + q, s.columns, s.layer.hidden,
                             sum);
}

__device__ __forceinline__ void load_state(const FmaStep& s, const float* state, int at,
                                           float (&values)[4]) {
  spread(s.h ? load4(state + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f), values);
}

template <bool kOnChip, class Act, class Input>
__device__ __forceinline__ void lstm_block(const FmaStep& s, const Act& act, const Input& input,
                                           int j, int q) {
  Block<4> in, sum;
  recur<kOnChip, 4>(s, s.h, 4, 0, j, q, sum);
  load_input<kOnChip, 4>(s, input, 0, j, q, in);
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    const int at = (j + u) * s.columns + q;
    float c[4], h[4];
    load_state(s, s.c, at, c);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      h[v] = act.lstm(sum.at[0][u][v] + in.at[0][u][v], sum.at[1][u][v] + in.at[1][u][v],
                      sum.at[2][u][v] + in.at[2][u][v], sum.at[3][u][v] + in.at[3][u][v], c[v]);
    }
    store_shared(s.c + at, c);
    store_shared(s.h_next + at, h);
  }
}

// reset_after: n = act(W_in x + b_in + r (W_hn h + b_hn)).
template <bool kOnChip, class Act, class Input>
__device__ __forceinline__ void gru_block(const FmaStep& s, const Act& act, const Input& input,
                                          int j, int q) {
  Block<3> in, sum;
  recur<kOnChip, 3>(s, s.h, 3, 0, j, q, sum);
  load_input<kOnChip, 3>(s, input, 0, j, q, in);
  float b_hn[4];
  spread(load_weights<kOnChip>(s.weights + s.layer.b_hn + j), b_hn);
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    const int at = (j + u) * s.columns + q;
    float h[4];
    load_state(s, s.h, at, h);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      const float r = act.gate(sum.at[0][u][v] + in.at[0][u][v]);
      const float z = sum.at[1][u][v] + in.at[1][u][v];
      const float n = act.candidate(fma(r, sum.at[2][u][v] + b_hn[u], in.at[2][u][v]));
      h[v] = act.gru(z, n, h[v]);
    }
    store_shared(s.h_next + at, h);
  }
}

// reset_before, first half: z before activation, and r h of every unit, because the candidate's
// product needs r h of all of them.
template <bool kOnChip, class Act, class Input>
__device__ __forceinline__ void gru_reset_block(const FmaStep& s, const Act& act,
                                                const Input& input, int j, int q) {
  Block<2> in, sum;
  recur<kOnChip, 2>(s, s.h, 3, 0, j, q, sum);
  load_input<kOnChip, 2>(s, input, 0, j, q, in);
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    const int at = (j + u) * s.columns + q;
    float h[4], update[4], reset[4];
    load_state(s, s.h, at, h);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      update[v] = sum.at[1][u][v] + in.at[1][u][v];
      reset[v] = act.gate(sum.at[0][u][v] + in.at[0][u][v]) * h[v];
    }
    store_shared(s.update + at, update);
    store_shared(s.reset + at, reset);
  }
}

// reset_before, second half: n = act(W_in x + b + W_hn (r h)).
template <bool kOnChip, class Act, class Input>
__device__ __forceinline__ void gru_candidate_block(const FmaStep& s, const Act& act,
                                                    const Input& input, int j, int q) {
  Block<1> in, sum;
  recur<kOnChip, 1>(s, s.reset, 3, 2, j, q, sum);
  load_input<kOnChip, 1>(s, input, 2, j, q, in);
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    const int at = (j + u) * s.columns + q;
    float h[4], update[4];
    load_state(s, s.h, at, h);
    spread(load4(s.update + at), update);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      h[v] = act.gru(update[v], act.candidate(sum.at[0][u][v] + in.at[0][u][v]), h[v]);
    }
    store_shared(s.h_next + at, h);
  }
}

// Calls run(j, q) for all blocks of the layer, spread over the threads: a thread gets the same
// blocks at every step.
template <class Run>
__device__ __forceinline__ void for_blocks(const FmaStep& s, Run run) {
  const int quads = s.columns / 4, count = quads * (s.layer.padded / 4);
  for (int i = threadIdx.x; i < count; i += blockDim.x) run(i / quads * 4, i % quads * 4);
}

// What a kernel is compiled for: only the code that a model needs, known by the planner.
//   kOnChip        the weights lie in shared memory
//   kProjectOnChip so do the projected rows
//   kUsual         all activations are tanh and sigmoid
//   kCells         which cells there are: a bit for each
//   kStacked       some stack has more than one layer

// All threads; ends with a barrier. input_at(q) is the input of columns q .. q+3.
template <class Config, class InputAt>
__device__ __forceinline__ void step_layer(const FmaStep& s, InputAt input_at) {
  constexpr bool kOnChip = Config::kOnChip;
  const Nonlinear<AccurateMath, Config::kUsual> act(s.layer);
  if ((Config::kCells & 1 << kLstm) && s.layer.cell == kLstm) {
    for_blocks(s, [&](int j, int q) { lstm_block<kOnChip>(s, act, input_at(q), j, q); });
  }
  if ((Config::kCells & 1 << kGruResetAfter) && s.layer.cell == kGruResetAfter) {
    for_blocks(s, [&](int j, int q) { gru_block<kOnChip>(s, act, input_at(q), j, q); });
  }
  if ((Config::kCells & 1 << kGruResetBefore) && s.layer.cell == kGruResetBefore) {
    for_blocks(s, [&](int j, int q) { gru_reset_block<kOnChip>(s, act, input_at(q), j, q); });
    __syncthreads();
    for_blocks(s, [&](int j, int q) { gru_candidate_block<kOnChip>(s, act, input_at(q), j, q); });
  }
  __syncthreads();
}

}  // namespace slidecell
