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

// Dot products of AVX512-BF16, and the activations that matrix kernels run on scaled sums: to
// float32's accuracy, and rough ones.
struct Bf16Probes {
  Probe dot;
  Probe fine[4], rough[4];  // LSTM alone and beside, GRU alone and beside
  double beside;
};

constexpr std::int64_t kL1Bytes = 16 << 10;   // read again and again: half of the usual L1 cache
constexpr std::int64_t kL2Bytes = 256 << 10;  // beyond any L1 cache, within the usual L2 cache

const VectorProbes& probes_scalar();
const VectorProbes& probes_avx2();
const VectorProbes& probes_avx512();
const VectorProbes& probes_neon();
const Bf16Probes& probes_bf16();
const Probe& probe_amx();

// Asks the OS for the tile registers, where it wants to be asked.
bool amx_permitted();

}  // namespace roofline
