// The row orientation: lanes are hidden units, one window at a time, for the least latency.
// Sums run in the same order as in the column orientation, so that both give the same bits.
//
// The recurrent sums are a step of their own, because a stream computes them before the row
// arrives that the rest of the step waits for.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/cell_unit-inl.h"
#include "kernels/error-inl.h"
#include "kernels/head-inl.h"
#include "kernels/panels-inl.h"
#include "kernels/row_unit-inl.h"

namespace {

template <int gates_>
struct FloatPanels {
  using Sum = Vec;
  static constexpr int gates = gates_, sums = gates, row = gates * Vec::lanes;

  const slidecell::ProjectRow& a;

  std::ptrdiff_t panel_stride() const { return (1 + a.depth) * row; }
  const float* weights() const { return a.w + row; }
  std::int64_t depth() const { return a.depth; }
  Vec start(std::int64_t q, int g) const {
    return Vec::load(a.w + q * panel_stride() + g * Vec::lanes);
  }
  Vec input(std::int64_t k) const { return Vec(a.x[k]); }
  static inline __attribute__((always_inline)) void add(const float* w, Vec x, Vec (&acc)[sums]) {
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) acc[g] = fma(Vec::load(w + g * Vec::lanes), x, acc[g]);
  }
  static Vec result(Vec sum) { return sum; }
};

// With weights of half the size: what limits a row is the L2 cache's bandwidth.
template <int gates_>
struct Bf16Panels {
  using Sum = Vec;
  static constexpr int gates = gates_, pairs = (gates + 1) / 2, sums = 2 * pairs;
  static constexpr int row = pairs * Vec::lanes;

  const slidecell::ProjectRow& a;

  std::ptrdiff_t panel_stride() const { return a.depth * row; }
  const float* weights() const { return a.w_bf16; }
  std::int64_t depth() const { return a.depth; }
  Vec start(std::int64_t q, int g) const {
    return g < gates ? FloatPanels<gates>{a}.start(q, g) : Vec(0.0f);
  }
  Vec input(std::int64_t k) const { return Vec(a.x[k]); }
  static inline __attribute__((always_inline)) void add(const float* w, Vec x, Vec (&acc)[sums]) {
#pragma GCC unroll 2
    for (int p = 0; p < pairs; ++p) {
      const Vec both = Vec::load(w + p * Vec::lanes);
      acc[2 * p] = fma(bf16_low(both), x, acc[2 * p]);
      acc[2 * p + 1] = fma(bf16_high(both), x, acc[2 * p + 1]);
    }
  }
  static Vec result(Vec sum) { return sum; }
};

void project_row(const slidecell::ProjectRow& a) {
  a.w_bf16 ? multiply_by_gates<Bf16Panels>(a) : multiply_by_gates<FloatPanels>(a);
}

template <class Cell, Half half>
void cell_row(const slidecell::CellRow& a) {
  const NamedActivations act{a.activation, a.recurrent_activation};
  for_panels(a.hidden, [&](std::int64_t j, std::int64_t live) {
    const RowUnit<Cell, half> unit{a, j, live};
    if constexpr (half == Half::first) {
      const Vec result = Cell::first(act, unit);
      if (a.sums) result.store(a.h_out + j, live);
    } else {
      Vec c;
      const Vec h = Cell::last(act, unit, c);
      if constexpr (Form<Cell>::traits.has_c) c.store(a.c + j, live);
      h.store(a.h_out + j, live);
    }
  });
}

// acc plus the row's sum of combine(error, sum, r), in two levels as in the column orientation.
template <class Combine>
inline float error_row(const slidecell::ErrorRow& a, Combine combine) {
  Vec acc(0.0f);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const Vec p(a.pred[r]);
    acc = combine(a.truth ? p - Vec(a.truth[a.truth_row[r]]) : p, acc, r);
  }
  float lanes[Vec::lanes];
  acc.store(lanes);
  return a.acc + lanes[0];
}
float squared_error_row(const slidecell::ErrorRow& a) {
  return error_row(a, [](Vec error, Vec acc, std::int64_t) { return fma(error, error, acc); });
}
float absolute_error_row(const slidecell::ErrorRow& a) {
  return error_row(a, [](Vec error, Vec acc, std::int64_t) { return acc + abs(error); });
}
float gaussian_error_row(const slidecell::ErrorRow& a) {
  return error_row(a, [&a](Vec error, Vec acc, std::int64_t r) {
    return add_gaussian(error, Vec(a.log_variance[r]), acc);
  });
}
float calibrated_error_row(const slidecell::ErrorRow& a) {
  return error_row(a, [&a](Vec error, Vec acc, std::int64_t r) {
    return acc + calibrated(error, a.slope[r], a.intercept[r]);
  });
}

}  // namespace
