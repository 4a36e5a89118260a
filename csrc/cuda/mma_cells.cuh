// One step of one layer on the matrix units, for the windows of a warp, 8 units at a time. A lane
// gets all gates of two units of each of its windows, so the cell needs no exchange.
#pragma once

#include "mma_tile.cuh"

namespace slidecell {

// What a kernel is compiled for:
//   kOnChip       the weights lie in shared memory
//   kUsual        all activations are tanh and sigmoid
//   kCells        which cells there are: a bit for each
//   kParts        1: bf16 products; 2: three products of two-part numbers
//   kRows         16 windows each, per warp
//   kInputTiles, kHiddenTiles   the most tiles of 16 inputs and units of any layer
//   kExact        all layers have as many
//   Math          of the activations

template <class Config>
using InputOperand = Operand<Config::kParts, Config::kRows, Config::kInputTiles, Config::kExact>;
template <class Config>
using HiddenOperand = Operand<Config::kParts, Config::kRows, Config::kHiddenTiles, Config::kExact>;

// A sum of products for 8 units and the warp's windows: [row][4], laid out as multiply_tiles says.
template <int kRows>
struct Sum {
  float at[kRows][4];
};

template <bool kOnChip>
__device__ __forceinline__ uint2 load_pair(const uint32* w) {
  const uint2* from = reinterpret_cast<const uint2*>(w);
  if (kOnChip) return *from;
  return load_constant(from);
}

// sum += x W for gates given by `gates` bits, gate g into sums[to[g]]. w: [tile][gate][part][lane]
// pairs of words for 8 units.
template <bool kOnChip, int kGates, int kParts, int kRows, int kTiles, bool kExact, int kSums>
__device__ __forceinline__ void multiply(const Operand<kParts, kRows, kTiles, kExact>& x, int tiles,
                                         const uint32* w, const int (&to)[kGates],
                                         Sum<kRows> (&sums)[kSums]) {
#pragma unroll
  for (int k = 0; k < kTiles; ++k) {
    if (!kExact && k >= tiles) break;
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      if (to[g] < 0) continue;
      uint2 b[kParts];
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        b[p] = load_pair<kOnChip>(w + (((k * kGates + g) * kParts + p) * 32 + lane_id()) * 2);
      }
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float (&sum)[4] = sums[to[g]].at[m];
        multiply_tiles(sum, x.at[k][0][m], b[0].x, b[0].y);
        if (kParts == 2) {
          multiply_tiles(sum, x.at[k][0][m], b[kParts - 1].x, b[kParts - 1].y);
          multiply_tiles(sum, x.at[k][kParts - 1][m], b[0].x, b[0].y);
        }
      }
    }
  }
}

// One layer of a warp: its weights and its states in the warp's part of the shared memory.
template <class Config>
class MmaLayer {
 public:
  static constexpr int kParts = Config::kParts, kRows = Config::kRows;

  __device__ MmaLayer(const LayerArgs& layer, const uint32* weights, uint32* part)
      : layer_(layer),
        act_(layer),
        w_ih_(weights + layer.w_ih),
        w_hh_(weights + layer.w_hh),
        bias_(weights + layer.bias),
        h_(part + layer.h),
        state_(reinterpret_cast<float*>(part) + layer.c),
        update_(reinterpret_cast<float*>(part) + layer.update),
        reset_(part + layer.reset) {}

  __device__ __forceinline__ const uint32* h() const { return h_; }

  // The first step starts from zeros. It has code of its own, which needs no products with h.
  __device__ __forceinline__ void step(const InputOperand<Config>& x, bool has_state) {
    if (has_state) {
      run<true>(x);
    } else {
      run<false>(x);
    }
  }

 private:
  using Sums = Sum<Config::kRows>;

  template <bool has_state>
  __device__ __forceinline__ void run(const InputOperand<Config>& x) {
    HiddenOperand<Config> h;
    if (has_state) load_operand(h_, layer_.hidden_tiles, h);
    if ((Config::kCells & 1 << kLstm) && layer_.cell == kLstm) lstm<has_state>(x, h);
    if ((Config::kCells & 1 << kGruResetAfter) && layer_.cell == kGruResetAfter) {
      gru<has_state>(x, h);
    }
    if ((Config::kCells & 1 << kGruResetBefore) && layer_.cell == kGruResetBefore) {
      gru_reset<has_state>(x, h);
      if (has_state) load_operand(reset_, layer_.hidden_tiles, h);
      gru_candidate<has_state>(x, h);
    }
  }

  __device__ __forceinline__ int blocks() const { return layer_.hidden_tiles * 2; }
  __device__ __forceinline__ const uint32* w_ih(int u, int gates) const {
    return w_ih_ + u * layer_.input_tiles * gates * kParts * 64;
  }
  __device__ __forceinline__ const uint32* w_hh(int u, int gates) const {
    return w_hh_ + u * layer_.hidden_tiles * gates * kParts * 64;
  }

  // sums[0 .. count-1] of units 8u .. 8u+7 from bias rows first, first+1, ...
  template <int count>
  __device__ __forceinline__ void start(int u, int first, Sums (&sums)[count]) const {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const uint2 b =
          load_pair<Config::kOnChip>(bias_ + (first + i) * layer_.padded + u * 8 + lane_pair() * 2);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[i].at[m][e] = from_bits(e % 2 == 0 ? b.x : b.y);
      }
    }
  }

  // Where the lane's four float32 values of units 8u .. and rows 16m .. lie.
  __device__ __forceinline__ float4* at(float* values, int u, int m) const {
    return reinterpret_cast<float4*>(values) + (u * kRows + m) * 32 + lane_id();
  }
  __device__ __forceinline__ void load(float* values, int u, int m, bool there,
                                       float (&to)[4]) const {
    const float4 v = there ? *at(values, u, m) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  }
  __device__ __forceinline__ void store(float* values, int u, int m, const float (&from)[4]) const {
    *at(values, u, m) = make_float4(from[0], from[1], from[2], from[3]);
  }

  template <bool has_state>
  __device__ __forceinline__ void lstm(const InputOperand<Config>& x,
                                       const HiddenOperand<Config>& h) const {
    constexpr int kAll[4] = {0, 1, 2, 3};
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[4];
      start(u, 0, sums);
      if (has_state) multiply<Config::kOnChip>(h, layer_.hidden_tiles, w_hh(u, 4), kAll, sums);
      multiply<Config::kOnChip>(x, layer_.input_tiles, w_ih(u, 4), kAll, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float c[4], out[4];
        load(state_, u, m, has_state, c);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          out[e] = act_.lstm(sums[0].at[m][e], sums[1].at[m][e], sums[2].at[m][e], sums[3].at[m][e],
                             c[e]);
        }
        store(state_, u, m, c);
        store_columns<kParts, kRows>(h_, u, m, out);
      }
    }
  }

  // Sums: r, z, W_in x + b_in, W_hn h + b_hn.
  template <bool has_state>
  __device__ __forceinline__ void gru(const InputOperand<Config>& x,
                                      const HiddenOperand<Config>& h) const {
    constexpr int kOfInput[3] = {0, 1, 2}, kOfHidden[3] = {0, 1, 3};
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[4];
      start(u, 0, sums);
      if (has_state) multiply<Config::kOnChip>(h, layer_.hidden_tiles, w_hh(u, 3), kOfHidden, sums);
      multiply<Config::kOnChip>(x, layer_.input_tiles, w_ih(u, 3), kOfInput, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float out[4];
        load(state_, u, m, has_state, out);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float r = act_.gate(sums[0].at[m][e]);
          const float n = act_.candidate(fma(r, sums[3].at[m][e], sums[2].at[m][e]));
          out[e] = act_.gru(sums[1].at[m][e], n, out[e]);
        }
        store(state_, u, m, out);
        store_columns<kParts, kRows>(h_, u, m, out);
      }
    }
  }

  // Reset before the product, first half: z before activation, and r h.
  template <bool has_state>
  __device__ __forceinline__ void gru_reset(const InputOperand<Config>& x,
                                            const HiddenOperand<Config>& h) const {
    constexpr int kGates[3] = {0, 1, -1};
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[2];
      start(u, 0, sums);
      if (has_state) multiply<Config::kOnChip>(h, layer_.hidden_tiles, w_hh(u, 3), kGates, sums);
      multiply<Config::kOnChip>(x, layer_.input_tiles, w_ih(u, 3), kGates, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        store(update_, u, m, sums[1].at[m]);
        if (!has_state) continue;
        float before[4];
        load(state_, u, m, true, before);
#pragma unroll
        for (int e = 0; e < 4; ++e) before[e] = act_.gate(sums[0].at[m][e]) * before[e];
        store_columns<kParts, kRows>(reset_, u, m, before);
      }
    }
  }

  // Second half: n = act(W_in x + b + W_hn (r h)).
  template <bool has_state>
  __device__ __forceinline__ void gru_candidate(const InputOperand<Config>& x,
                                                const HiddenOperand<Config>& reset_h) const {
    constexpr int kGates[3] = {-1, -1, 0};
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[1];
      start(u, 2, sums);
      if (has_state) {
        multiply<Config::kOnChip>(reset_h, layer_.hidden_tiles, w_hh(u, 3), kGates, sums);
      }
      multiply<Config::kOnChip>(x, layer_.input_tiles, w_ih(u, 3), kGates, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float out[4], update[4];
        load(state_, u, m, has_state, out);
        load(update_, u, m, true, update);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          out[e] = act_.gru(update[e], act_.candidate(sums[0].at[m][e]), out[e]);
        }
        store(state_, u, m, out);
        store_columns<kParts, kRows>(h_, u, m, out);
      }
    }
  }

  const LayerArgs& layer_;
  Nonlinear<typename Config::Math, Config::kUsual> act_;
  const uint32 *w_ih_, *w_hh_, *bias_;
  uint32* h_;
  float* state_;
  float* update_;
  uint32* reset_;
};

}  // namespace slidecell
