// The float32 kernel: persistent blocks, each with a tile of windows at a time. Weights stay in
// shared memory for all tiles and steps (or stream from the L2 cache), states and gates never leave
// the chip, and only results are written.
#pragma once

#include "fma_cells.cuh"
#include "sink.cuh"

namespace slidecell {

template <class Config>
class FmaKernel {
 public:
  __device__ FmaKernel(const FmaArgs& args, float* shared)
      : a_(args),
        shared_(shared),
        weights_(Config::kOnChip ? shared : args.net.weights),
        p_(Config::kProjectOnChip ? shared + args.p
                                  : args.scratch + blockIdx.x * args.scratch_words),
        tile_(args, shared),
        sink_(args.series, args.windows, args.sink) {}

  __device__ void run() {
    if (Config::kOnChip) {
      for (int i = threadIdx.x * 4; i < a_.net.weights_words; i += blockDim.x * 4) {
        *reinterpret_cast<float4*>(shared_ + i) =
            load_constant(reinterpret_cast<const float4*>(a_.net.weights + i));
      }
    }
    // A tile's barriers come before its first product.
    const int vectors = a_.columns / kVector;
    const int64 tiles = (a_.windows.last - a_.windows.first + vectors - 1) / vectors;
    for (int64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) run_tile(tile);
  }

 private:
  __device__ __forceinline__ const LayerArgs& layer(int l) const { return a_.net.layers[l]; }
  // h of a layer after `done` steps: the two buffers take turns.
  __device__ __forceinline__ float* h_of(int l, int done) const {
    return shared_ + (done % 2 == 0 ? layer(l).h : layer(l).h_next);
  }

  __device__ void run_tile(int64 tile) {
    tile_.load(tile);
    if (owns_window()) sink_.begin(owned_window());
    load_initial_states();
    encode();
    const int top = a_.net.encoder_layers - 1;
    const float* code = h_of(top, a_.windows.window);
    if (a_.sink.sink == kEncode) {
      write_codes(code);
    } else if (a_.net.decoder_layers > 0) {
      decode(code);
    } else if (a_.sink.sink != kSequence) {
      predict(code, top);
    }
    if (owns_window()) sink_.end();
    __syncthreads();
  }

  __device__ void encode() {
    for (int t = 0; t < a_.windows.window; ++t) {
      const int ahead = t % a_.steps;
      if (ahead == 0) project(t);
      for (int l = 0; l < a_.net.encoder_layers; ++l) {
        if (l == 0) {
          step_layer<Config>(step_of(0, t, a_.sink.h0 != nullptr),
                             [&](int q) { return projected_rows(q, ahead); });
        } else if (Config::kStacked) {
          step_above(l, t, a_.sink.h0 != nullptr);
        }
        if (a_.sink.sink == kSequence) write_step(l, t);
      }
    }
  }

  // The encoder's last h, projected once per window, is the decoder's input at every step.
  __device__ void decode(const float* code) {
    const int bottom = a_.net.encoder_layers;
    project_code(layer(bottom), code);
    for (int t = 0; t < a_.windows.window; ++t) {
      step_layer<Config>(step_of(bottom, t, false), [&](int q) { return code_rows(q); });
      int top = bottom;
      if (Config::kStacked) {
        for (int l = 1; l < a_.net.decoder_layers; ++l) step_above(++top, t, false);
      }
      if (t >= a_.sink.first_row) predict(h_of(top, t + 1), top);
    }
  }

  __device__ FmaStep step_of(int l, int t, bool has_state) const {
    const LayerArgs& spec = layer(l);
    return {spec,
            weights_,
            a_.columns,
            t > 0 || has_state ? h_of(l, t) : nullptr,
            h_of(l, t + 1),
            shared_ + spec.c,
            shared_ + spec.held,
            shared_ + spec.gated};
  }
  __device__ void step_above(int l, int t, bool has_state) const {
    const float* below = h_of(l - 1, t + 1);
    step_layer<Config>(step_of(l, t, has_state), [&](int) { return LayerBelow{below}; });
  }

  __device__ void project(int first) {
    const LayerArgs& bottom = layer(0);
    with_traits<Config::kCells>(bottom.cell, [&](auto traits) {
      tile_.template project<decltype(traits)::kGates, Config>(bottom, weights_, first, p_);
    });
  }
  __device__ __forceinline__ ProjectedRows projected_rows(int q, int ahead) const {
    ProjectedRows rows;
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      const int64 row = tile_.projected_row(tile_.slot_of(q + v), ahead);
      rows.rows[v] = p_ + row * a_.p_stride;
    }
    return rows;
  }

  // Row `column` of p: W_ih code + b. Written and read by the same thread.
  __device__ void project_code(const LayerArgs& bottom, const float* code) {
    with_traits<Config::kCells>(
        bottom.cell, [&](auto traits) { project_code_of<decltype(traits)>(bottom, code); });
  }
  template <class Traits>
  __device__ void project_code_of(const LayerArgs& bottom, const float* code) {
    constexpr int gates = Traits::kGates;
    const FmaStep s = step_of(a_.net.encoder_layers, 0, false);
    for_blocks<Config::kQuads>(s, [&](int j, int first_q) {
      for_quads<Config::kQuads>(s, first_q, [&](int, int q) {
        Block<gates> in;
        load_input<Traits, Config::kOnChip, gates>(s, LayerBelow{code}, 0, j, q, in);
        const ProjectedRows to = code_rows(q);
#pragma unroll
        for (int v = 0; v < 4; ++v) {
#pragma unroll
          for (int g = 0; g < gates; ++g) {
            const float units[4] = {in.at[g][0][v], in.at[g][1][v], in.at[g][2][v], in.at[g][3][v]};
            store4<Config::kProjectOnChip>(const_cast<float*>(to.rows[v]) + g * bottom.padded + j,
                                           units);
          }
        }
      });
    });
  }
  __device__ __forceinline__ ProjectedRows code_rows(int q) const {
    ProjectedRows rows;
#pragma unroll
    for (int v = 0; v < 4; ++v) rows.rows[v] = p_ + static_cast<int64>(q + v) * a_.p_stride;
    return rows;
  }

  // The head on h, a slice of outputs at a time. All threads; ends with a barrier.
  __device__ void predict(const float* h, int l) {
    float* out = shared_ + a_.prediction;
    const int quads = a_.columns / 4;
    for (int first = 0; first < a_.net.head_rows; first += a_.slice) {
      const int left = a_.net.head_padded - first, size = left < a_.slice ? left : a_.slice;
      for (int i = threadIdx.x; i < quads * (size / 4); i += blockDim.x) {
        const int q = i % quads * 4, d = i / quads * 4;
        Block<1> sum;
        start_from<1, Config::kOnChip>(weights_ + a_.net.head_b + first + d, 0, sum);
        accumulate<1, Config::kOnChip>(weights_ + a_.net.head_w + first + d, a_.net.head_padded, 0,
                                       h + q, a_.columns, layer(l).hidden, sum);
#pragma unroll
        for (int u = 0; u < 4; ++u) store_shared(out + (d + u) * a_.columns + q, sum.at[0][u]);
      }
      __syncthreads();
      if (owns_window()) {
        const int end = a_.net.head_rows - first < size ? a_.net.head_rows - first : size;
        for (int d = 0; d < end; ++d) sink_.take(out[d * a_.columns + threadIdx.x]);
      }
      __syncthreads();
    }
  }

  // Thread t owns the results of column t.
  __device__ __forceinline__ bool owns_window() const {
    return threadIdx.x < static_cast<unsigned>(a_.columns);
  }
  __device__ OwnedWindow owned_window() const {
    const int slot = tile_.slot_of(static_cast<int>(threadIdx.x));
    OwnedWindow owned;
    owned.exists = tile_.exists(slot);
    if (!owned.exists) return owned;
    owned.row = tile_.row_of(slot);
    owned.window = tile_.window_of(slot);
    const bool scores = a_.sink.sink == kScore || a_.sink.sink == kFeatureScore;
    owned.complete =
        complete_rows(a_.series, owned.row, a_.windows.window + (scores ? a_.windows.horizon : 0));
    return owned;
  }

  // Calls use(column, j, window - first_window) for all existing windows and units of a layer.
  template <class Use>
  __device__ void for_units(int units, Use use) const {
    for (int i = threadIdx.x; i < a_.columns * units; i += blockDim.x) {
      const int column = i / units, slot = tile_.slot_of(column);
      if (tile_.exists(slot)) {
        use(column, i % units, tile_.window_of(slot) - a_.sink.first_window);
      }
    }
  }

  __device__ void write_codes(const float* code) {
    const int units = layer(a_.net.encoder_layers - 1).hidden;
    for_units(units, [&](int column, int j, int64 w) {
      const int row = tile_.row_of(tile_.slot_of(column));
      const bool complete = complete_rows(a_.series, row, a_.windows.window);
      a_.sink.out[w * units + j] = complete ? code[j * a_.columns + column] : not_a_number();
    });
  }

  __device__ void load_initial_states() {
    if (!a_.sink.h0) return;
    for (int l = 0; l < a_.net.encoder_layers; ++l) {
      const LayerArgs& spec = layer(l);
      for_units(spec.hidden, [&](int column, int j, int64 w) {
        const int64 from = (l * a_.sink.windows + w) * spec.hidden + j;
        h_of(l, 0)[j * a_.columns + column] = a_.sink.h0[from];
        if (carries_cell_state(spec.cell))
          shared_[spec.c + j * a_.columns + column] = a_.sink.c0[from];
      });
    }
    // The projection's barriers come before the first step.
  }

  // What `forward` gives of step t of layer l: the top layer's h, zeros beyond a window's length,
  // and the states of the last valid step.
  __device__ void write_step(int l, int t) {
    const LayerArgs& spec = layer(l);
    const int T = a_.windows.window;
    for_units(spec.hidden, [&](int column, int j, int64 w) {
      const int64 length = a_.sink.lengths ? a_.sink.lengths[w] : T;
      const float h = h_of(l, t + 1)[j * a_.columns + column];
      if (l + 1 == a_.net.encoder_layers && a_.sink.out) {
        a_.sink.out[(w * T + t) * spec.hidden + j] = t < length ? h : 0.0f;
      }
      if (t != length - 1) return;
      const int64 to = (l * a_.sink.windows + w) * spec.hidden + j;
      a_.sink.h_n[to] = h;
      if (carries_cell_state(spec.cell))
        a_.sink.c_n[to] = shared_[spec.c + j * a_.columns + column];
    });
    __syncthreads();  // c is overwritten by the next step
  }

  const FmaArgs& a_;
  float* shared_;
  const float* weights_;
  float* p_;
  FmaTile tile_;
  WindowSink sink_;
};

}  // namespace slidecell
