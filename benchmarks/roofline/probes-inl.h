// The loops of one instruction set. A probe_<isa>.cpp includes the kernels' vec_<isa>.h, then this.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/product-inl.h"
//
#include "kernels/columns-inl.h"
#include "kernels/gru-inl.h"
#include "kernels/lstm-inl.h"
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

using slidecell::Cell;

constexpr int kUnits = 4;   // hidden units per round
constexpr int kSpread = 8;  // chains of multiply-adds beside a cell

// `fmas` for each of the cells, which depend on nothing but themselves: an out-of-order CPU mixes
// them with the cells.
template <int fmas, class Wide>
inline __attribute__((always_inline)) void beside(Wide (&acc)[kSpread], Wide x, Wide y, int cells) {
  for (int k = 0; k < (fmas ? cells : 0); ++k) {
#pragma GCC unroll 64
    for (int f = 0; f < fmas; ++f) acc[f % kSpread] = fma(acc[f % kSpread], x, y);
  }
}

// The kernels' functions.
struct Plain {
  static Vec gate(Vec x) { return sigmoid(x); }
  static Vec candidate(Vec x) { return tanh(x); }
  static Vec gate_times_candidate(Vec a, Vec b) { return sigmoid_times_tanh(a, b); }
  static Vec gate_times_tanh(Vec a, Vec c) { return sigmoid_times_tanh(a, c); }
};

// One vector of cells after the other, from and to the L1 cache.
template <Cell cell, class Functions, class Wide, int fmas>
void plain_cells(float* data, std::int64_t rounds) {
  constexpr int kStep = kUnits * Vec::lanes;
  Wide acc[kSpread], x(0.5f), y(0.25f);
  start(acc);
  keep(x);
  keep(y);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (float* p = data; p < data + kStep; p += Vec::lanes) {
      asm volatile("" ::: "memory");  // the inputs could be others than in the last round
      const Vec a = Vec::load(p), b = Vec::load(p + kStep), c = Vec::load(p + 2 * kStep),
                d = Vec::load(p + 3 * kStep);
      Vec state = Vec::load(p + 4 * kStep);
      if constexpr (cell == Cell::lstm) {
        state = fma(Functions::gate(b), state, Functions::gate_times_candidate(a, c));
        Functions::gate_times_tanh(d, state).store(p + 5 * kStep);
      } else {
        const Vec candidate = Functions::candidate(fma(Functions::gate(a), c, d));
        state = fma(Functions::gate(b), state - candidate, candidate);
      }
      state.store(p + 4 * kStep);
      beside<fmas>(acc, x, y, 1);
    }
  }
#pragma GCC unroll 16
  for (Wide& sum : acc) keep(sum);
}

// The kernels' own step without its products (a state of no size), `units` times `vectors` cells
// at a time.
template <Cell cell, class Wide, int units, int vectors, int fmas>
void step_cells(float* data, std::int64_t rounds) {
  constexpr std::ptrdiff_t kStride = vectors * Vec::lanes;
  const std::int32_t columns[3] = {0, Vec::lanes, 2 * Vec::lanes};
  slidecell::StepColumns a{};
  a.hidden = fmas ? units : kUnits;
  a.vectors = vectors;
  a.p = data;
  a.p_stride = a.stride = kStride;
  a.p_col = columns;
  a.h = data + 4 * kUnits * kStride;
  a.w = a.b_hh = a.h;
  a.c = data + 5 * kUnits * kStride;
  a.h_out = data + 6 * kUnits * kStride;
  a.activation = slidecell::Activation::tanh;
  a.recurrent_activation = slidecell::RecurrentActivation::sigmoid;
  Wide acc[kSpread], x(0.5f), y(0.25f);
  start(acc);
  keep(x);
  keep(y);
  for (std::int64_t i = 0; i < rounds * (fmas ? kUnits / units : 1); ++i) {
    asm volatile("" ::: "memory");
    if constexpr (cell == Cell::lstm) {
      step_columns<Lstm, 4 * units, vectors>(a);
    } else {
      step_columns<Gru, 4 * units, vectors>(a);
    }
    beside<fmas>(acc, x, y, units * vectors);
  }
#pragma GCC unroll 16
  for (Wide& sum : acc) keep(sum);
}

constexpr int kFmas = 48;  // beside each vector of cells

template <Cell cell, class Functions, class Wide, int fmas>
constexpr roofline::Probe make_cells() {
  return {&plain_cells<cell, Functions, Wide, fmas>, 150, kUnits * Vec::lanes};
}

template <Cell cell, class Wide, int fmas>
constexpr roofline::Ways make_ways() {
  constexpr double sets = 3 * kUnits * Vec::lanes;
  return {{make_cells<cell, Plain, Wide, fmas>(),
           {&step_cells<cell, Wide, 1, 3, fmas>, 50, sets},
           {&step_cells<cell, Wide, 2, 3, fmas>, 50, sets}}};
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
  return {{&multiply_add<Wide, sums>, 1000, 8.0 * sums * Wide::lanes},
          make_ways<Cell::lstm, Wide, 0>(),
          make_ways<Cell::lstm, Wide, kFmas>(),
          make_ways<Cell::gru, Wide, 0>(),
          make_ways<Cell::gru, Wide, kFmas>(),
          {&load<Wide, kL1Bytes>, 400, kL1Bytes},
          {&load<Wide, kL2Bytes>, 12, kL2Bytes},
          static_cast<double>(kFmas) * Wide::lanes / Vec::lanes};
}

}  // namespace
