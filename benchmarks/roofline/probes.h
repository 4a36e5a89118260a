// What is timed: short loops, a table of them per instruction set. As with the kernels, only this
// table is seen outside the file that is compiled for the instruction set.
#pragma once

#include <cstdint>

namespace roofline {

struct Probe {
  void (*run)(float* data, std::int64_t rounds);
  std::int64_t rounds;  // some 30 us of them
  double work;          // of one round: multiply-adds, sets of activations, or bytes
};

// The same work with more or less of it at a time: the fastest counts.
struct Ways {
  static constexpr int count = 3;
  Probe way[count];
};

// A set is all activations of one unit of one window at one step.
struct VectorProbes {
  Probe fma;
  Ways lstm, lstm_beside;  // beside: between multiply-adds that do not depend on it
  Ways gru, gru_beside;
  Probe l1, l2;
  double beside;  // multiply-adds for each such set
};

// Dot products of several small numbers in a lane, and the activations that their kernels run: to
// float32's accuracy, and rough ones. With codes of 8 bits these are the gates that say how much of
// a state stays, and a set holds the coding of h and the scaling of sums.
struct DotProbes {
  Probe dot;
  Probe fine[4], rough[4];  // LSTM alone and beside, GRU alone and beside
  double beside;            // multiply-adds for each set: of float32, or of codes
  double per_lane;          // small numbers in a lane of 32 bits
};

struct TileProbes {
  Probe bf16, codes;
};

constexpr std::int64_t kL1Bytes = 16 << 10;   // read again and again: half of the usual L1 cache
constexpr std::int64_t kL2Bytes = 256 << 10;  // beyond any L1 cache, within the usual L2 cache

const VectorProbes& probes_scalar();
const VectorProbes& probes_avx2();
const VectorProbes& probes_avx512();
const VectorProbes& probes_neon();
const DotProbes& probes_bf16();
const DotProbes& probes_low_scalar();
const DotProbes& probes_low_avx2();
const DotProbes& probes_low_avx512();
const DotProbes& probes_low_avx512_vnni();
const DotProbes& probes_low_neon();
const DotProbes& probes_low_neon_dot();
const TileProbes& probes_amx();

// Asks the OS for the tile registers, where it wants to be asked.
bool amx_permitted();

}  // namespace roofline
