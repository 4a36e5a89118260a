// Products of 8-bit codes, and what their kernels do beside them. A probe_low_<isa>.cpp includes
// the kernels' codes_<isa>.h, then this.
#pragma once

#include "kernels/low-inl.h"
//
#include "probes-inl.h"

namespace {

// As keep, of Codes or Sums: plain C++ has them in general registers.
template <class V>
inline __attribute__((always_inline)) void keep_whole(V& v) {
  if constexpr (sizeof v.v == 4) {
    asm volatile("" : "+r"(v.v));
  } else {
    keep(v);
  }
}

template <int n>
struct Dots {
  Sums acc[n];
  Codes w = Codes::all(0x01020304), x = Codes::all(0x04030201);

  Dots() {
    keep_whole(w);
#pragma GCC unroll 16
    for (Sums& sum : acc) {
      sum = Sums::all(1);
      keep_whole(sum);
    }
  }
  // Keeping x, which costs nothing, has every product made anew.
  inline __attribute__((always_inline)) void add(int i) {
    keep_whole(x);
    acc[i] = dot(w, x, acc[i]);
  }
  inline __attribute__((always_inline)) void end() {
#pragma GCC unroll 16
    for (Sums& sum : acc) keep_whole(sum);
  }
};

constexpr int kDotSums = 12;
constexpr bool kPlain = sizeof(Sums) == 4;  // C++ that the compiler may put into vectors

// Plain C++ runs the kernels' own loop, whose products share what they unpack.
void dots(float* data, std::int64_t rounds) {
  if constexpr (kPlain) {
    constexpr int rows = LowRegisters::rows, vectors = LowRegisters::vectors;
    static constexpr std::int32_t zeros[rows] = {};
    const auto* words = reinterpret_cast<const std::uint32_t*>(data);
    for (std::int64_t i = 0; i < rounds / 8; ++i) {
      Sums acc[rows][vectors];
      sum_codes<rows, vectors>({words, zeros, nullptr}, data, vectors, kDotSums, acc);
      for (auto& row : acc) {
        for (Sums& sum : row) keep_whole(sum);
      }
    }
  } else {
    Dots<kDotSums> sums;
    for (std::int64_t i = 0; i < rounds * 8; ++i) {
#pragma GCC unroll 16
      for (int s = 0; s < kDotSums; ++s) sums.add(s);
    }
    sums.end();
  }
}

// Of a round.
constexpr double kDotWork =
    Codes::per_word * kDotSums *
    (kPlain ? LowRegisters::rows * LowRegisters::vectors / 8.0 : 8.0 * Vec::lanes);

constexpr int kDots = 36;  // beside each vector of cells

// The kernels' own step with no word to multiply: codes of h, then sums, scales, gates and states.
template <class Cell, bool coarse, int beside>
void low_cells(float* data, std::int64_t rounds) {
  constexpr int gates = Product<Cell, Half::last>::gates.count, vectors = LowRegisters::vectors;
  constexpr int units = LowRegisters::rows / gates;
  constexpr std::ptrdiff_t stride = vectors * Vec::lanes;
  static_assert(kUnits % units == 0 && units > 0);
  alignas(64) static float codes[kUnits * stride];
  static constexpr std::int32_t zeros[LowRegisters::rows] = {};
  static constexpr float scales[LowRegisters::rows] = {};
  std::int32_t columns[vectors];
  for (int v = 0; v < vectors; ++v) columns[v] = v * Vec::lanes;
  slidecell::LowStep a{};
  a.w = {nullptr, zeros, scales};
  a.hidden = kUnits;
  a.vectors = vectors;
  a.p = data;
  a.p_stride = a.stride = stride;
  a.p_col = columns;
  a.h = a.b_hh = data + 4 * kUnits * stride;
  a.c = data + 5 * kUnits * stride;
  a.h_out = data + 6 * kUnits * stride;
  a.codes = codes;
  Dots<kDotSums> sums;
  for (std::int64_t i = 0; i < rounds; ++i) {
    asm volatile("" ::: "memory");  // the inputs could be others than in the last round
    code_columns(a.h, kUnits, stride, vectors, codes);
    for (int j = 0; j < kUnits; j += units) {
      low_block<Cell, Half::last, units, vectors>(a, a.w, 0, j, 0, LowActivations<coarse>{});
      for (int k = 0; k < (beside ? units * vectors : 0); ++k) {
#pragma GCC unroll 64
        for (int d = 0; d < beside; ++d) sums.add(d % kDotSums);
      }
    }
  }
  sums.end();
}

template <class Cell, bool coarse, int beside>
constexpr roofline::Probe make_low_cells() {
  return {&low_cells<Cell, coarse, beside>, 50, kUnits * LowRegisters::vectors * Vec::lanes};
}

constexpr roofline::DotProbes make_low_probes() {
  return {{&dots, 1000, kDotWork},
          {make_low_cells<Lstm, false, 0>(), make_low_cells<Lstm, false, kDots>(),
           make_low_cells<Gru, false, 0>(), make_low_cells<Gru, false, kDots>()},
          {make_low_cells<Lstm, true, 0>(), make_low_cells<Lstm, true, kDots>(),
           make_low_cells<Gru, true, 0>(), make_low_cells<Gru, true, kDots>()},
          kDots * Codes::per_word,
          Codes::per_word};
}

}  // namespace
