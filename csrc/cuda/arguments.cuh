// What the host tells the kernels. python/slidecell/cuda/structs.py mirrors these structs field
// by field; a test compares sizes and offsets.
#pragma once

#include "platform.cuh"

namespace slidecell {

// Consecutive windows of one entity that are always computed together: the unit of which tiles
// are made, so that a tile may span entities.
constexpr int kVector = 8;
constexpr int kMaxLayers = 16;  // encoder and decoder together

enum Cell { kLstm, kGruResetAfter, kGruResetBefore, kRnn, kCellCount };
enum Activation { kTanh, kRelu, kSigmoid, kLinear };
enum RecurrentActivation { kGateSigmoid, kGateHardSigmoid };

// Rows of one chunk of a series, cast, scaled and with bad rows zeroed (see rows.cuh).
struct SeriesArgs {
  const float* x;    // [rows][features]
  const uint8* bad;  // [rows], or null: none is
  int64 first_row;   // of the chunk in the whole series
  int rows, features;
};

// Windows of the whole series by vectors, entity after entity; first_* are sums over the entities
// before. Vectors first .. last-1 are this launch's.
struct WindowArgs {
  const int64* offsets;       // [entities+1]
  const int64* first_vector;  // [entities+1]
  const int64* first_window;  // [entities+1]
  int64 first, last;
  int entities;
  int window, horizon, stride;
};

// Offsets of weights are in 4-byte words from the start of the packed weights; those of states are
// in words from the start of the shared memory, or of a warp's part of it.
struct LayerArgs {
  int cell, activation, recurrent_activation;
  int input, hidden;
  int padded;       // units computed, hidden rounded up
  int input_tiles;  // matrix tiles of 16 rows of the input and of h
  int hidden_tiles;
  int w_ih, w_hh, bias;
  int b_hn;         // biases of the products with h of gates that stay apart
  int h, h_next;    // the new h goes to h_next, then they change roles; matrix path: h alone
  int c;            // a cell's state beside h; matrix path: h in float32 of a cell that carries it
  int held, gated;  // of a cell with waiting gates, between its passes: see cell_traits.cuh
};

struct NetArgs {
  const float* weights;
  int weights_words;  // copied to shared memory where they fit
  int encoder_layers, decoder_layers;
  int head_w, head_b, head_rows, head_padded;
  LayerArgs layers[kMaxLayers];
};

enum Sink { kScore, kFeatureScore, kPredict, kEncode, kSequence };

// What becomes of a window's results.
struct SinkArgs {
  int sink;
  int absolute;          // scores: |error| instead of its square
  int first_row;         // predicted rows before this one do not count
  int targets;           // T, columns that the head predicts
  const int* target;     // [T] which
  const double* center;  // [T] predictions in raw units: scaled * scale + center; or null
  const double* scale;   // [T]
  float factor;          // of the sum of errors
  float* out;            // kScore [rows], kFeatureScore [rows][T]: from the chunk's first row on;
                         // kPredict [windows][K or W][T], kEncode [windows][H],
                         // kSequence [windows][W][H]: from first_window on
  uint8* complete;       // kPredict: [windows] whether no row is missing; or null
  int64 first_window;
  const float* h0;  // kSequence: [layers][windows][H], or null: zeros
  const float* c0;
  float* h_n;
  float* c_n;
  const int64* lengths;  // kSequence: [windows] valid steps, or null: all
  int64 windows;
};

// float32 on the ordinary cores: a block computes a tile of `columns` windows.
struct FmaArgs {
  SeriesArgs series;
  WindowArgs windows;
  NetArgs net;
  SinkArgs sink;
  int columns;          // windows of a tile, a multiple of 8
  int steps;            // steps whose projected inputs are held at once
  int x, x_stride;      // shared: rows of a tile, transposed [features][x_stride]
  int p, p_stride;      // projected rows [..][p_stride], in shared memory or in scratch
  int prediction;       // shared: [slice][columns]
  int slice;            // predictions held at once, a multiple of 4
  int table;            // shared: see FmaTile
  float* scratch;       // projected rows of all blocks where shared memory is too small
  int64 scratch_words;  // per block
};

// bf16 on the matrix units: a warp computes 16 or 32 windows.
struct MmaArgs {
  SeriesArgs series;
  WindowArgs windows;
  NetArgs net;
  SinkArgs sink;
  int warp_words;  // shared memory of a warp
  int first_warp;  // where that of warp 0 begins
  int prediction;  // in a warp's part: [8][windows + 4]
};

__device__ __forceinline__ float not_a_number() { return from_bits(0x7fc00000u); }

}  // namespace slidecell
