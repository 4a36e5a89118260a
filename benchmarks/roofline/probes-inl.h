// The loops of one instruction set. A probe_<isa>.cpp includes the kernels' vec_<isa>.h, then this.
#pragma once

#include "kernels/activations-inl.h"
#include "probes.h"

namespace {

// The compiler must have v in a register here, and knows no more about its value.
template <class V>
inline __attribute__((always_inline)) void keep(V& v) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(v.v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v.v));
#else
  asm volatile("" : "+m"(v.v));
#endif
}

template <class V, int n>
inline __attribute__((always_inline)) void start(V (&sums)[n]) {
#pragma GCC unroll 16
  for (V& sum : sums) {
    sum = V(1.0f);
    keep(sum);
  }
}

// `sums` chains, enough to hide the latency of all multiply-adds in flight; all in registers.
template <class Wide, int sums>
void multiply_add(float*, std::int64_t rounds) {
  Wide acc[sums], x(0.5f), y(0.25f);
  start(acc);
  keep(x);
  keep(y);
  for (std::int64_t i = 0; i < rounds * 8; ++i) {
#pragma GCC unroll 16
    for (Wide& a : acc) a = fma(a, x, y);
  }
#pragma GCC unroll 16
  for (Wide& a : acc) keep(a);
}

constexpr Activations kUsual{Activation::tanh, RecurrentActivation::sigmoid};
constexpr int kCells = 8;  // vectors of cells per round

struct LstmCell {
  static Vec run(const Vec (&gates)[4], Vec& c) { return lstm_cell(kUsual, gates, c); }
};

// Gates r, z, and both halves of n; the state is h.
struct GruCell {
  static Vec run(const Vec (&gates)[4], Vec& h) {
    const Vec n = tanh(fma(sigmoid(gates[0]), gates[2], gates[3]));
    h = fma(sigmoid(gates[1]), h - n, n);
    return h;
  }
};

// Independent cells, from and to the L1 cache; after each, `fmas` multiply-adds that depend on
// nothing but themselves, so that an out-of-order CPU mixes both.
template <class Cell, class Wide, int fmas>
void cells(float* data, std::int64_t rounds) {
  constexpr int kSums = 8;
  constexpr int kStep = kCells * Vec::lanes;
  Wide acc[kSums], x(0.5f), y(0.25f);
  start(acc);
  keep(x);
  keep(y);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (float* p = data; p < data + kStep; p += Vec::lanes) {
      asm volatile("" ::: "memory");  // the gates could be others than in the last round
      const Vec gates[4] = {Vec::load(p), Vec::load(p + kStep), Vec::load(p + 2 * kStep),
                            Vec::load(p + 3 * kStep)};
      Vec state = Vec::load(p + 4 * kStep);
      const Vec h = Cell::run(gates, state);
      state.store(p + 4 * kStep);
      h.store(p + 5 * kStep);
#pragma GCC unroll 64
      for (int f = 0; f < fmas; ++f) acc[f % kSums] = fma(acc[f % kSums], x, y);
    }
  }
#pragma GCC unroll 16
  for (Wide& a : acc) keep(a);
}

template <class Wide, std::int64_t bytes>
void load(float* data, std::int64_t rounds) {
  constexpr int kLoads = 8;
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (const float* p = data; p < data + bytes / 4; p += kLoads * Wide::lanes) {
      Wide loaded[kLoads];
#pragma GCC unroll 8
      for (int k = 0; k < kLoads; ++k) {
        loaded[k] = Wide::load(p + k * Wide::lanes);
        keep(loaded[k]);
      }
    }
  }
}

// Wide: the longest register that plain products may use; Vec but in the scalar kernels.
template <class Wide, int sums>
constexpr roofline::VectorProbes make_probes() {
  using roofline::kL1Bytes;
  using roofline::kL2Bytes;
  constexpr int kFmas = 48;
  constexpr double sets = kCells * Vec::lanes;
  return {{&multiply_add<Wide, sums>, 1000, 8.0 * sums * Wide::lanes},
          {&cells<LstmCell, Wide, 0>, 200, sets},
          {&cells<LstmCell, Wide, kFmas>, 120, sets},
          {&cells<GruCell, Wide, 0>, 300, sets},
          {&cells<GruCell, Wide, kFmas>, 150, sets},
          {&load<Wide, kL1Bytes>, 400, kL1Bytes},
          {&load<Wide, kL2Bytes>, 12, kL2Bytes},
          static_cast<double>(kFmas) * Wide::lanes / Vec::lanes};
}

}  // namespace
