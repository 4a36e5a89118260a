// The inner product of the float32 kernels: 4 units times G gates times 4 or 8 windows in
// registers.
#pragma once

#include "arguments.cuh"

namespace slidecell {

// Units j .. j+3 and columns q .. q+3 of a tile, or two such quads of columns, half a tile apart.
// One quad of an LSTM has 64 accumulators, and 20 more registers for weights and h: half of the 255
// that a thread of a block of 256 may have. Two quads have 128 and 24, and read 6 times 16 bytes
// for 128 multiply-adds, where one quad reads 10 times.
template <int gates, int kQuads = 1>
struct Block {
  float at[gates][4][4 * kQuads];  // [gate][unit][column]
};

__device__ __forceinline__ float4 load4(const float* p) {
  return *reinterpret_cast<const float4*>(p);
}
template <bool kShared>
__device__ __forceinline__ void store4(float* p, const float (&v)[4]) {
  if (kShared) {
    store_shared(p, v);
  } else {
    *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
  }
}
__device__ __forceinline__ void spread(const float4& from, float (&to)[4]) {
  to[0] = from.x, to[1] = from.y, to[2] = from.z, to[3] = from.w;
}

// Weights lie in shared memory, or stay in device memory and come through the L2 and L1 caches.
template <bool kOnChip>
__device__ __forceinline__ float4 load_weights(const float* p) {
  if (kOnChip) return load4(p);
  return load_constant(reinterpret_cast<const float4*>(p));
}

template <int gates, int kQuads>
__device__ __forceinline__ void clear(Block<gates, kQuads>& block) {
#pragma unroll
  for (int g = 0; g < gates; ++g) {
#pragma unroll
    for (int u = 0; u < 4; ++u) {
#pragma unroll
      for (int v = 0; v < 4 * kQuads; ++v) block.at[g][u][v] = 0.0f;
    }
  }
}

// All columns start from the units' biases: bias [gates][padded].
template <int gates, bool kOnChip>
__device__ __forceinline__ void start_from(const float* bias, int padded, Block<gates>& block) {
#pragma unroll
  for (int g = 0; g < gates; ++g) {
    float b[4];
    spread(load_weights<kOnChip>(bias + g * padded), b);
#pragma unroll
    for (int u = 0; u < 4; ++u) {
#pragma unroll
      for (int v = 0; v < 4; ++v) block.at[g][u][v] = b[u];
    }
  }
}

// block[g][u][v] += sum over k ascending of w[k][g][u] x[k][v]: one chain of fused multiply-adds
// per output, in the order of the CPU's kernels. The second quad of columns is `half` beyond the
// first.
template <int gates, bool kOnChip, int kQuads = 1>
__device__ __forceinline__ void accumulate(const float* w,  // [depth][..][padded], at unit j
                                           int w_step, int padded,
                                           const float* x,  // [depth][x_step], at column q
                                           int x_step, int depth, Block<gates, kQuads>& block,
                                           int half = 0) {
#pragma unroll 2
  for (int k = 0; k < depth; ++k) {
    float column[kQuads][4];
#pragma unroll
    for (int i = 0; i < kQuads; ++i) spread(load4(x + k * x_step + i * half), column[i]);
#pragma unroll
    for (int g = 0; g < gates; ++g) {
      float weight[4];
      spread(load_weights<kOnChip>(w + k * w_step + g * padded), weight);
#pragma unroll
      for (int u = 0; u < 4; ++u) {
#pragma unroll
        for (int v = 0; v < 4 * kQuads; ++v) {
          block.at[g][u][v] = fma(weight[u], column[v / 4][v % 4], block.at[g][u][v]);
        }
      }
    }
  }
}

}  // namespace slidecell
