// What the products of codes are made from and what follows them, in the column orientation: the
// codes of h, gates and states. Blocks makes the products (low-inl.h, low_tile-inl.h) and hands the
// sums on. An isa_<x>.cpp includes its codes_<x>.h, which holds Codes, Sums and LowActivations,
// before this file.
#pragma once

#include "kernels/code-inl.h"
#include "kernels/product-inl.h"
//
#include "kernels/cell_unit-inl.h"
#include "kernels/cells-inl.h"
#include "kernels/low_table.h"

namespace {

using slidecell::LowStep;
using slidecell::LowWeights;

constexpr std::int64_t words_of(std::int64_t size) {
  return (size + 3) / 4 * (4 / Codes::per_word);
}

// Codes of the rows of h, zeros beyond the last.
inline void code_columns(const float* h, std::int64_t size, std::ptrdiff_t stride,
                         std::int64_t vectors, float* codes) {
  for (std::int64_t k = 0; k < words_of(size); ++k, codes += stride) {
    for (std::int64_t v = 0; v < vectors; ++v) {
      Vec units[Codes::per_word];
#pragma GCC unroll 4
      for (int i = 0; i < Codes::per_word; ++i) {
        const std::int64_t unit = k * Codes::per_word + i;
        units[i] = unit < size ? Vec::load(h + unit * stride + v * Vec::lanes) : Vec(0.0f);
      }
      Codes::of(units).store(codes + v * Vec::lanes);
    }
  }
}

// As ColumnsUnit, whose sums are whole numbers as yet.
template <class Cell, Half half, int n, class Sum>
struct LowUnit : ColumnsUnit<Cell, half, n, LowStep, Sum> {
  using Base = ColumnsUnit<Cell, half, n, LowStep, Sum>;
  using V = typename Base::V;
  const float* scale;  // of the unit's gates

  inline __attribute__((always_inline)) LowUnit(const LowStep& step, std::int64_t j,
                                                std::int64_t v0, const Sum& sums,
                                                const float* scale_)
      : Base(step, j, v0, sums), scale(scale_) {}
  inline __attribute__((always_inline)) V sum(int gate) const {
    return Base::sum(gate) * scale_of(gate);
  }
  inline __attribute__((always_inline)) V gate(int g) const {
    return fma(Base::sum(g), scale_of(g), Base::x(g));
  }

 private:
  inline __attribute__((always_inline)) V scale_of(int gate) const {
    return V(scale[gate - Product<Cell, half>::gates.first]);
  }
};

// A half of a step of unit j, groups of columns v0 .. v0+n-1. scale: of the unit's gates.
template <class Cell, Half half, int n, class Sum, class Activations>
inline __attribute__((always_inline)) void low_unit(const LowStep& a, std::int64_t j,
                                                    std::int64_t v0, const Sum& sum,
                                                    const float* scale, const Activations& act) {
  const LowUnit<Cell, half, n, Sum> unit(a, j, v0, sum, scale);
  const auto result = run_unit<Cell, half>(act, unit);
  if (half == Half::first && a.h) {
    result.store(a.scratch + a.hidden * a.stride + unit.at);
  }
}

template <class Blocks, class Cell, Half half, class Activations>
inline void low_half(const LowStep& a, const LowWeights& w, const Activations& act) {
  if (a.h) {
    const bool late = Product<Cell, half>::late;
    code_columns(late ? a.scratch + a.hidden * a.stride : a.h, a.hidden, a.stride, a.vectors,
                 a.codes);
  }
  Blocks::template run<Cell, half>(a, w, act);
}

template <class Blocks, class Cell, class Activations>
inline void low_step(const LowStep& a, const Activations& act) {
  if constexpr (Form<Cell>::has_late) {
    low_half<Blocks, Cell, Half::first>(a, a.w, act);
    low_half<Blocks, Cell, Half::last>(a, a.w_late, act);
  } else {
    low_half<Blocks, Cell, Half::last>(a, a.w, act);
  }
}

// With rows that are scaled.
template <class Blocks, class Cell>
void low_scaled_step(const LowStep& a) {
  a.coarse ? low_step<Blocks, Cell>(a, LowActivations<true>{})
           : low_step<Blocks, Cell>(a, LowActivations<false>{});
}

}  // namespace
