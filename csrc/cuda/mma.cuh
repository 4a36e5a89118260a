// The matrix-unit kernel: persistent warps, each with 16 or 32 windows at a time and no barrier
// between them once the weights are in shared memory.
//
// Unlike the float32 kernel this one projects a row anew for every window: with up to 16 features
// that is one more matrix tile a step, half the shared-memory traffic of reading the projections
// (float32) back, and takes no memory.
#pragma once

#include "mma_cells.cuh"
#include "sink.cuh"

namespace slidecell {

// What a warp knows of its windows, and what becomes of their results.
template <class Config>
class MmaWindows {
 public:
  static constexpr int kParts = Config::kParts, kRows = Config::kRows;

  // part: the warp's part of the shared memory.
  __device__ MmaWindows(const MmaArgs& args, const uint32* weights, uint32* part)
      : a_(args),
        weights_(weights),
        part_(part),
        tile_(args.series, args.windows),
        sink_(args.series, args.windows, args.sink) {}

  // All lanes together.
  __device__ __forceinline__ void begin(int64 tile) {
    tile_.load(tile);
    sink_.begin(owned_window());
    __syncwarp();  // the matrix unit wants all lanes together
  }
  __device__ __forceinline__ void load_rows(int t, InputOperand<Config>& x) const {
    tile_.load_rows(t, a_.net.layers[0].input_tiles, x);
  }
  __device__ __forceinline__ void end() {
    if (lane_id() < kRows * 16) sink_.end();
  }

  // The head on h, 8 outputs at a time, and their errors. All lanes together.
  __device__ void predict(const HiddenOperand<Config>& h, int tiles) {
    // [8][kPitch]: 4 beyond the windows, so that the four lanes of a group, which store two rows
    // apart, meet in no bank.
    constexpr int kPitch = kRows * 16 + 4;
    static_assert(2 * kPitch % 32 == 8, "lanes of a group meet in a bank");
    float* out = reinterpret_cast<float*>(part_) + a_.prediction;
    const float* bias = reinterpret_cast<const float*>(weights_) + a_.net.head_b;
    for (int first = 0; first < a_.net.head_rows; first += 8) {
      Sum<kRows> sums[1];
      const float* b = bias + first + lane_pair() * 2;
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[0].at[m][e] = b[e % 2];
      }
      multiply<SumsOfGates<1, 0, 1, 0>, Config::kOnChip>(
          h, tiles, weights_ + a_.net.head_w + first / 8 * tiles * kParts * 64, sums);
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int window = m * 16 + e / 2 * 8 + lane_group();
          out[(lane_pair() * 2 + e % 2) * kPitch + window] = sums[0].at[m][e];
        }
      }
      __syncwarp();
      if (lane_id() < kRows * 16) {
        const int left = a_.net.head_rows - first, end = left < 8 ? left : 8;
        for (int d = 0; d < end; ++d) sink_.take(out[d * kPitch + lane_id()]);
      }
      __syncwarp();  // the next outputs go to the same place
    }
  }

 private:
  // Lane l owns the results of window l.
  __device__ __forceinline__ OwnedWindow owned_window() const {
    OwnedWindow owned;
    owned.exists = lane_id() < kRows * 16 && tile_.exists();
    if (!owned.exists) return owned;
    owned.row = tile_.owned_row();
    owned.window = tile_.owned_window();
    const bool scores = a_.sink.sink == kScore || a_.sink.sink == kFeatureScore;
    owned.complete =
        complete_rows(a_.series, owned.row, a_.windows.window + (scores ? a_.windows.horizon : 0));
    return owned;
  }

  const MmaArgs& a_;
  const uint32* weights_;
  uint32* part_;
  MmaTile<kRows> tile_;
  WindowSink sink_;
};

// The packed weights to shared memory; a barrier must follow.
__device__ __forceinline__ void copy_weights(const NetArgs& net, uint32* shared) {
  for (int i = threadIdx.x * 4; i < net.weights_words; i += blockDim.x * 4) {
    *reinterpret_cast<float4*>(shared + i) =
        load_constant(reinterpret_cast<const float4*>(net.weights + i));
  }
}

template <class Config>
class MmaKernel {
 public:
  static constexpr int kParts = Config::kParts, kRows = Config::kRows;

  __device__ MmaKernel(const MmaArgs& args, uint32* shared)
      : a_(args),
        weights_(Config::kOnChip ? shared : reinterpret_cast<const uint32*>(args.net.weights)),
        part_(shared + args.first_warp + threadIdx.x / 32 * args.warp_words),
        windows_(args, weights_, part_) {}

  __device__ void run(uint32* shared) {
    if (Config::kOnChip) copy_weights(a_.net, shared);
    __syncthreads();
    const int64 vectors = a_.windows.last - a_.windows.first;
    const int64 tiles = (vectors + kRows * 2 - 1) / (kRows * 2);
    // Few tiles go to as many multiprocessors as there are, not to all warps of a few.
    const int64 warps = blockDim.x / 32, blocks = gridDim.x;
    for (int64 tile = threadIdx.x / 32 * blocks + blockIdx.x; tile < tiles;
         tile += blocks * warps) {
      run_tile(tile);
    }
  }

 private:
  __device__ __forceinline__ MmaLayer<Config> layer(int l) const {
    return MmaLayer<Config>(a_.net.layers[l], weights_, part_);
  }

  __device__ void run_tile(int64 tile) {
    windows_.begin(tile);
    InputOperand<Config> x;
    for (int t = 0; t < a_.windows.window; ++t) {
      windows_.load_rows(t, x);
      step_stack(0, a_.net.encoder_layers, t, x);
    }
    const int top = a_.net.encoder_layers - 1;
    if (a_.net.decoder_layers == 0) {
      predict(top);
    } else {
      for (int t = 0; t < a_.windows.window; ++t) {
        // RepeatVector: the same code at every step.
        load_operand(layer(top).h(), a_.net.layers[top + 1].input_tiles, x);
        step_stack(top + 1, a_.net.decoder_layers, t, x);
        if (t >= a_.sink.first_row) predict(top + a_.net.decoder_layers);
      }
    }
    windows_.end();
  }

  // x is layer `bottom`'s input at step t; above, each layer's is the h of the one below.
  __device__ __forceinline__ void step_stack(int bottom, int layers, int t,
                                             InputOperand<Config>& x) const {
    for (int l = bottom; l < bottom + layers; ++l) {
      if (l > bottom) load_operand(layer(l - 1).h(), a_.net.layers[l].input_tiles, x);
      layer(l).step(x, t > 0);
    }
  }

  __device__ __forceinline__ void predict(int l) {
    HiddenOperand<Config> h;
    const int tiles = a_.net.layers[l].hidden_tiles;
    load_operand(layer(l).h(), tiles, h);
    windows_.predict(h, tiles);
  }

  const MmaArgs& a_;
  const uint32* weights_;
  uint32* part_;
  MmaWindows<Config> windows_;
};

}  // namespace slidecell
