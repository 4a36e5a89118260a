// The matrix-unit kernel of Hopper (sm_90a): one LSTM layer of up to 64 units, with bf16 products.
//
// Four warps, a group, have 64 windows, 16 each. The group's matrix products read the weights from
// shared memory by themselves, once for all 64 windows, and h from the lanes' registers: a
// product's result is laid out as the next step's operand is (see mma_tile.cuh), so h and c never
// leave the registers. While the unit multiplies for 16 units, the lanes compute the cells of the
// 16 before.
#pragma once

#include "mma.cuh"

namespace slidecell {

// What a kernel is compiled for, as in mma_cells.cuh: kRows and kParts are 1, kExact is true.
template <class Config>
class WgmmaKernel {
 public:
  static constexpr int kTiles = Config::kHiddenTiles, kInputTiles = Config::kInputTiles;
  static constexpr int kUnits = 16;                   // whose gates are multiplied at once
  static constexpr int kWords = kUnits * 4 * 16 / 2;  // of their weights for 16 inputs

  __device__ WgmmaKernel(const MmaArgs& args, uint32* shared)
      : a_(args),
        weights_(shared),
        windows_(args, shared, shared + args.first_warp + threadIdx.x / 32 * args.warp_words),
        act_(args.net.layers[0]) {
    // Two inputs that are one, behind the features: the biases are their weights, in two parts.
#pragma unroll
    for (int i = 0; i < kInputTiles * 2; ++i) {
      const int behind = i * 8 + lane_pair() * 2 - args.series.features;
      const uint32 low = behind == 0 || behind == 1, high = behind == -1 || behind == 0;
      ones_[i] = low * 0x3f80u | high * 0x3f800000u;
    }
  }

  __device__ void run(uint32* shared) {
    copy_weights(a_.net, shared);
    show_to_matrix_unit();
    __syncthreads();
    const int64 vectors = a_.windows.last - a_.windows.first;
    const int64 tiles = (vectors + kGroupVectors - 1) / kGroupVectors;
    const int64 groups = blockDim.x / 128, blocks = gridDim.x;
    // Of lane 0, so that the compiler knows that all lanes stay together.
    const int group = from_lane(static_cast<int>(threadIdx.x / 128), 0);
    for (int64 tile = group * blocks + blockIdx.x; tile < tiles; tile += blocks * groups) {
      run_tile(tile * 4 + threadIdx.x / 32 % 4);
    }
  }

 private:
  static constexpr int kGroupVectors = 64 / kVector;
  using Hidden = HiddenOperand<Config>;
  // Of 16 units, as the matrix unit leaves them: for units 0 .. 7 and then 8 .. 15 all gates, each
  // with the four numbers of Sum.
  using Gates = float[32];

  __device__ void run_tile(int64 tile) {
    windows_.begin(tile);
    float c[kTiles][2][4];
#pragma unroll
    for (int i = 0; i < kTiles * 8; ++i) c[i / 8][i / 4 % 2][i % 4] = 0.0f;
    Hidden h;
    InputOperand<Config> x;
    load_rows(0, x);
    step<false>(x, h, c);
    for (int t = 1; t < a_.windows.window; ++t) {
      load_rows(t, x);
      step<true>(x, h, c);
    }
    windows_.predict(h, kTiles);
    windows_.end();
  }

  __device__ __forceinline__ void load_rows(int t, InputOperand<Config>& x) const {
    windows_.load_rows(t, x);
#pragma unroll
    for (int i = 0; i < kInputTiles * 4; ++i) x.at[i / 4][0][0][i % 4] |= ones_[i / 2];
  }

  // h and c one step further; without has_state h is not read.
  template <bool has_state>
  __device__ __forceinline__ void step(InputOperand<Config>& x, Hidden& h,
                                       float (&c)[kTiles][2][4]) const {
    float out[kTiles][2][4];  // the new h
    Gates gates[2];  // of the units whose cells are computed, and of those that are multiplied
    hold_operand(x);
    if (has_state) hold_operand(h);
    multiply<has_state>(0, x, h, gates[0]);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      if (n + 1 < kTiles) {
        multiply<has_state>(n + 1, x, h, gates[(n + 1) % 2]);
        wait_for_products<1>(gates[n % 2]);
      } else {
        wait_for_products<0>(gates[n % 2]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float* sums = gates[n % 2] + half * 16 + e;
          const float of_unit[4] = {sums[0], sums[4], sums[8], sums[12]};
          out[n][half][e] = LstmTraits::step(act_, of_unit, c[n][half][e]);
        }
      }
    }
    // Now that no product is under way: the compiler would otherwise wait after each.
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        h.at[n][0][0][i] = pack_bf16(out[n][i / 2][i % 2 * 2], out[n][i / 2][i % 2 * 2 + 1]);
      }
    }
  }

  template <class Operand>
  static __device__ __forceinline__ void hold_operand(Operand& operand) {
#pragma unroll
    for (auto& tile : operand.at) hold(tile[0][0]);
  }

  // Starts the products for units 16n .. 16n+15.
  template <bool has_state>
  __device__ __forceinline__ void multiply(int n, const InputOperand<Config>& x, const Hidden& h,
                                           Gates& gates) const {
    const LayerArgs& layer = a_.net.layers[0];
    begin_products();
    const uint32* w_ih = weights_ + layer.w_ih + n * kInputTiles * kWords;
#pragma unroll
    for (int k = 0; k < kInputTiles; ++k) {
      const uint32* w = w_ih + k * kWords;
      if (k == 0) {
        multiply_group<false>(gates, x.at[k][0][0], w);
      } else {
        multiply_group<true>(gates, x.at[k][0][0], w);
      }
    }
    if (has_state) {
      const uint32* w_hh = weights_ + layer.w_hh + n * kTiles * kWords;
#pragma unroll
      for (int k = 0; k < kTiles; ++k)
        multiply_group<true>(gates, h.at[k][0][0], w_hh + k * kWords);
    }
    commit_products();
  }

  const MmaArgs& a_;
  const uint32* weights_;
  MmaWindows<Config> windows_;
  Nonlinear<typename Config::Math, true> act_;
  uint32 ones_[kInputTiles * 2];  // [tile][half of its columns]
};

}  // namespace slidecell
