// One step of one layer on the matrix units, for the windows of a warp, 8 units at a time. A lane
// gets all gates of two units of each of its windows, so the cell needs no exchange.
#pragma once

#include "cell_traits.cuh"
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

// Gates first .. first+count-1 of a layer with `gates` go to sums 0, 1, ..., and the last `apart`
// of them to sums count, count+1, ... instead.
template <int gates, int first, int count, int apart>
struct SumsOfGates {
  static constexpr int kGates = gates;
  // Which sum gate g is added to; -1: none.
  static __device__ constexpr int to(int g) {
    if (g < first || g >= first + count) return -1;
    return g < first + count - apart ? g - first : g - first + apart;
  }
};

// sums += x W. w: [tile][gate][part][lane] pairs of words for 8 units.
template <class ToSums, bool kOnChip, int kParts, int kRows, int kTiles, bool kExact, int kSums>
__device__ __forceinline__ void multiply(const Operand<kParts, kRows, kTiles, kExact>& x, int tiles,
                                         const uint32* w, Sum<kRows> (&sums)[kSums]) {
  constexpr int kGates = ToSums::kGates;
#pragma unroll
  for (int k = 0; k < kTiles; ++k) {
    if (!kExact && k >= tiles) break;
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      if (ToSums::to(g) < 0) continue;
      uint2 b[kParts];
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        b[p] = load_pair<kOnChip>(w + (((k * kGates + g) * kParts + p) * 32 + lane_id()) * 2);
      }
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float (&sum)[4] = sums[ToSums::to(g)].at[m];
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
        held_(reinterpret_cast<float*>(part) + layer.held),
        gated_(part + layer.gated) {}

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
    with_traits<Config::kCells>(layer_.cell, [&](auto traits) {
      using Traits = decltype(traits);
      if constexpr (Traits::kWaiting == 0) {
        one_pass<Traits, has_state>(x, h);
      } else {
        first_pass<Traits, has_state>(x, h);
        if (has_state) load_operand(gated_, layer_.hidden_tiles, h);
        second_pass<Traits, has_state>(x, h);
      }
    });
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

  // Sums of gates first .. first+count-1 of units 8u .. 8u+7: biases, then the products with `of_h`
  // and x. Those of the last `apart` gates with `of_h` lie behind, with biases of their own.
  template <class Traits, bool has_state, int first, int count, int apart>
  __device__ __forceinline__ void compute(int u, const InputOperand<Config>& x,
                                          const HiddenOperand<Config>& of_h,
                                          Sums (&sums)[count + apart]) const {
    constexpr int gates = Traits::kGates;
    start(u, first, sums);
    if (has_state) {
      multiply<SumsOfGates<gates, first, count, apart>, Config::kOnChip>(of_h, layer_.hidden_tiles,
                                                                         w_hh(u, gates), sums);
    }
    multiply<SumsOfGates<gates, first, count, 0>, Config::kOnChip>(x, layer_.input_tiles,
                                                                   w_ih(u, gates), sums);
  }
  // Element e of rows m of all sums, as a cell's formula takes them.
  template <int count>
  static __device__ __forceinline__ void element(const Sums (&sums)[count], int m, int e,
                                                 float (&to)[count]) {
#pragma unroll
    for (int i = 0; i < count; ++i) to[i] = sums[i].at[m][e];
  }

  template <class Traits, bool has_state>
  __device__ __forceinline__ void one_pass(const InputOperand<Config>& x,
                                           const HiddenOperand<Config>& h) const {
    constexpr int count = Traits::kGates, apart = Traits::kApart;
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[count + apart];
      compute<Traits, has_state, 0, count, apart>(u, x, h, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float state[4], out[4];
        if (Traits::kCarries != Carries::kNothing) load(state_, u, m, has_state, state);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float of_unit[count + apart];
          element(sums, m, e, of_unit);
          out[e] = Traits::step(act_, of_unit, state[e]);
        }
        if (Traits::kCarries != Carries::kNothing) store(state_, u, m, state);
        store_columns<kParts, kRows>(h_, u, m, out);
      }
    }
  }

  // A cell of two passes, the first: the gates that do not wait.
  template <class Traits, bool has_state>
  __device__ __forceinline__ void first_pass(const InputOperand<Config>& x,
                                             const HiddenOperand<Config>& h) const {
    constexpr int count = Traits::kGates - Traits::kWaiting;
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[count];
      compute<Traits, has_state, 0, count, 0>(u, x, h, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float of_unit[4][count], held[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          element(sums, m, e, of_unit[e]);
          held[e] = Traits::held(of_unit[e]);
        }
        store(held_, u, m, held);
        if (!has_state) continue;  // nothing is multiplied by it
        float state[4], gated[4];
        load(state_, u, m, true, state);
#pragma unroll
        for (int e = 0; e < 4; ++e) gated[e] = Traits::gated(act_, of_unit[e], state[e]);
        store_columns<kParts, kRows>(gated_, u, m, gated);
      }
    }
  }

  // The second: the gates that waited.
  template <class Traits, bool has_state>
  __device__ __forceinline__ void second_pass(const InputOperand<Config>& x,
                                              const HiddenOperand<Config>& gated) const {
    constexpr int count = Traits::kWaiting, apart = Traits::kApart;
    static_assert(Traits::kCarries != Carries::kNothing, "two passes want a state between steps");
    for (int u = 0; u < blocks(); ++u) {
      Sums sums[count + apart];
      compute<Traits, has_state, Traits::kGates - count, count, apart>(u, x, gated, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        float state[4], held[4], out[4];
        load(state_, u, m, has_state, state);
        load(held_, u, m, true, held);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float of_unit[count + apart];
          element(sums, m, e, of_unit);
          out[e] = Traits::step(act_, of_unit, held[e], state[e]);
        }
        store(state_, u, m, state);
        store_columns<kParts, kRows>(h_, u, m, out);
      }
    }
  }

  const LayerArgs& layer_;
  Nonlinear<typename Config::Math, Config::kUsual> act_;
  const uint32 *w_ih_, *w_hh_, *bias_;
  uint32* h_;
  float* state_;
  float* held_;
  uint32* gated_;
};

}  // namespace slidecell
