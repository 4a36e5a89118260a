// One step of one layer in float32, for four units and four or eight columns at a time. The gates
// never leave the registers; c and what is held between passes belong to one thread and need no
// barrier.
#pragma once

#include "activations.cuh"
#include "cell_traits.cuh"
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
  float *held, *gated;
};

// Gates first .. first+gates-1 of units j .. j+3, columns q .. q+3.
template <class Traits, bool kOnChip, int gates>
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
template <class Traits, bool kOnChip, int gates>
__device__ __forceinline__ void load_input(const FmaStep& s, const LayerBelow& input, int first,
                                           int j, int q, Block<gates>& in) {
  const int padded = s.layer.padded;
  start_from<gates, kOnChip>(s.weights + s.layer.bias + first * padded + j, padded, in);
  accumulate<gates, kOnChip>(s.weights + s.layer.w_ih + first * padded + j, Traits::kGates * padded,
                             padded, input.h + q, s.columns, s.layer.input, in);
}

// W_hh x for gates first .. of a layer, of one quad of columns or of two.
template <class Traits, bool kOnChip, int gates, int kQuads>
__device__ __forceinline__ void recur(const FmaStep& s, const float* x, int first, int j, int q,
                                      Block<gates, kQuads>& sum) {
  clear(sum);
  if (!s.h) return;
  accumulate<gates, kOnChip>(s.weights + s.layer.w_hh + first * s.layer.padded + j,
                             Traits::kGates * s.layer.padded, s.layer.padded, x + q, s.columns,
                             s.layer.hidden, sum, s.columns / 2);
}

// Sums of units j .. j+3 and one quad of columns after the other, for gates first .. of which the
// last `apart` keep the product with x apart from the input: input alone, and x's with its own bias
// behind them.
template <class Traits, bool kOnChip, int gates, int apart, int kQuads>
struct FmaSums {
  Block<gates, kQuads> sum;
  Block<gates> in;  // of the quad of columns that is at hand
  int at_hand = 0;
  float own_bias[apart + 1][4];  // C++ has no empty arrays

  __device__ __forceinline__ void multiply(const FmaStep& s, const float* x, int first, int j,
                                           int q) {
    recur<Traits, kOnChip, gates>(s, x, first, j, q, sum);
  }
  template <class Input>
  __device__ __forceinline__ void take(int quad, const FmaStep& s, const Input& input, int first,
                                       int j, int q) {
    at_hand = quad;
    load_input<Traits, kOnChip, gates>(s, input, first, j, q, in);
#pragma unroll
    for (int a = 0; a < apart; ++a) {
      spread(load_weights<kOnChip>(s.weights + s.layer.b_hn + a * s.layer.padded + j), own_bias[a]);
    }
  }
  __device__ __forceinline__ void of(int u, int v, float (&sums)[gates + apart]) const {
    constexpr int joined = gates - apart;
#pragma unroll
    for (int g = 0; g < joined; ++g) sums[g] = sum.at[g][u][at_hand * 4 + v] + in.at[g][u][v];
#pragma unroll
    for (int a = 0; a < apart; ++a) {
      sums[joined + a] = in.at[joined + a][u][v];
      sums[gates + a] = sum.at[joined + a][u][at_hand * 4 + v] + own_bias[a][u];
    }
  }
};

// What the cell carries of units (at columns) `at` ..: zeros before the first step.
template <class Traits>
__device__ __forceinline__ void load_state(const FmaStep& s, int at, float (&values)[4]) {
  if (Traits::kCarries == Carries::kNothing) return;
  const float* state = Traits::kCarries == Carries::kCellState ? s.c : s.h;
  spread(s.h ? load4(state + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f), values);
}
template <class Traits>
__device__ __forceinline__ void store_state(const FmaStep& s, int at, const float (&values)[4]) {
  if (Traits::kCarries == Carries::kCellState) store_shared(s.c + at, values);
}

// Calls run(quad, q) for the quads of columns of a block whose first one begins at q.
template <int kQuads, class Run>
__device__ __forceinline__ void for_quads(const FmaStep& s, int q, Run run) {
#pragma unroll
  for (int quad = 0; quad < kQuads; ++quad) run(quad, q + quad * (s.columns / 2));
}

// A cell of one pass.
template <class Traits, bool kOnChip, int kQuads, class Act, class InputAt>
__device__ __forceinline__ void step_block(const FmaStep& s, const Act& act,
                                           const InputAt& input_at, int j, int first_q) {
  FmaSums<Traits, kOnChip, Traits::kGates, Traits::kApart, kQuads> all;
  all.multiply(s, s.h, 0, j, first_q);
  for_quads<kQuads>(s, first_q, [&](int quad, int q) {
    all.take(quad, s, input_at(q), 0, j, q);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int at = (j + u) * s.columns + q;
      float state[4], h[4];
      load_state<Traits>(s, at, state);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        float sums[Traits::kGates + Traits::kApart];
        all.of(u, v, sums);
        h[v] = Traits::step(act, sums, state[v]);
      }
      store_state<Traits>(s, at, state);
      store_shared(s.h_next + at, h);
    }
  });
}

// A cell of two passes, the first: the gates that do not wait.
template <class Traits, bool kOnChip, int kQuads, class Act, class InputAt>
__device__ __forceinline__ void first_pass_block(const FmaStep& s, const Act& act,
                                                 const InputAt& input_at, int j, int first_q) {
  constexpr int gates = Traits::kGates - Traits::kWaiting;
  FmaSums<Traits, kOnChip, gates, 0, kQuads> all;
  all.multiply(s, s.h, 0, j, first_q);
  for_quads<kQuads>(s, first_q, [&](int quad, int q) {
    all.take(quad, s, input_at(q), 0, j, q);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int at = (j + u) * s.columns + q;
      float state[4], held[4], gated[4];
      load_state<Traits>(s, at, state);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        float sums[gates];
        all.of(u, v, sums);
        held[v] = Traits::held(sums);
        gated[v] = Traits::gated(act, sums, state[v]);
      }
      store_shared(s.held + at, held);
      store_shared(s.gated + at, gated);
    }
  });
}

// The second: the gates that waited.
template <class Traits, bool kOnChip, int kQuads, class Act, class InputAt>
__device__ __forceinline__ void second_pass_block(const FmaStep& s, const Act& act,
                                                  const InputAt& input_at, int j, int first_q) {
  constexpr int first = Traits::kGates - Traits::kWaiting;
  FmaSums<Traits, kOnChip, Traits::kWaiting, Traits::kApart, kQuads> all;
  all.multiply(s, s.gated, first, j, first_q);
  for_quads<kQuads>(s, first_q, [&](int quad, int q) {
    all.take(quad, s, input_at(q), first, j, q);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int at = (j + u) * s.columns + q;
      float state[4], held[4], h[4];
      load_state<Traits>(s, at, state);
      spread(load4(s.held + at), held);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        float sums[Traits::kWaiting + Traits::kApart];
        all.of(u, v, sums);
        h[v] = Traits::step(act, sums, held[v], state[v]);
      }
      store_state<Traits>(s, at, state);
      store_shared(s.h_next + at, h);
    }
  });
}

// Calls run(j, q) for all blocks of the layer, spread over the threads: a thread gets the same
// blocks at every step. Of a block's two quads, q is the first one's.
template <int kQuads, class Run>
__device__ __forceinline__ void for_blocks(const FmaStep& s, Run run) {
  const int quads = s.columns / (4 * kQuads), count = quads * (s.layer.padded / 4);
  for (int i = threadIdx.x; i < count; i += blockDim.x) run(i / quads * 4, i % quads * 4);
}

// What a kernel is compiled for: only the code that a model needs, known by the planner.
//   kOnChip        the weights lie in shared memory
//   kProjectOnChip so do the projected rows
//   kQuads         of columns that a thread computes at once: 1 or 2
//   kUsual         all activations are tanh and sigmoid
//   kCells         which cells there are: a bit for each
//   kStacked       some stack has more than one layer

// All threads; ends with a barrier. input_at(q) is the input of columns q .. q+3.
template <class Config, class InputAt>
__device__ __forceinline__ void step_layer(const FmaStep& s, InputAt input_at) {
  constexpr bool kOnChip = Config::kOnChip;
  constexpr int kQuads = Config::kQuads;
  const Nonlinear<AccurateMath, Config::kUsual> act(s.layer);
  with_traits<Config::kCells>(s.layer.cell, [&](auto traits) {
    using Traits = decltype(traits);
    if constexpr (Traits::kWaiting == 0) {
      for_blocks<kQuads>(
          s, [&](int j, int q) { step_block<Traits, kOnChip, kQuads>(s, act, input_at, j, q); });
    } else {
      for_blocks<kQuads>(s, [&](int j, int q) {
        first_pass_block<Traits, kOnChip, kQuads>(s, act, input_at, j, q);
      });
      __syncthreads();
      for_blocks<kQuads>(s, [&](int j, int q) {
        second_pass_block<Traits, kOnChip, kQuads>(s, act, input_at, j, q);
      });
    }
  });
  __syncthreads();
}

}  // namespace slidecell
