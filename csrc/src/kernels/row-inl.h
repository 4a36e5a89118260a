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
#include "kernels/row_unit-inl.h"

namespace {

// `panels` panels at once give enough independent chains to hide the latency of the multiply-add.
template <int gates, int panels>
inline __attribute__((always_inline)) void project_panels(const slidecell::ProjectRow& a,
                                                          std::int64_t q0) {
  const std::ptrdiff_t panel_stride = (1 + a.depth) * gates * Vec::lanes;
  const float* w = a.w + q0 * panel_stride;
  Vec acc[panels][gates];
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) acc[q][g] = Vec::load(w + q * panel_stride + g * Vec::lanes);
  }
  for (std::int64_t k = 0; k < a.depth; ++k) {
    w += gates * Vec::lanes;
    const Vec x(a.x[k]);
#pragma GCC unroll 4
    for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
      for (int g = 0; g < gates; ++g) {
        acc[q][g] = fma(Vec::load(w + q * panel_stride + g * Vec::lanes), x, acc[q][g]);
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) {
      acc[q][g].store(a.out + ((q0 + q) * gates + g) * Vec::lanes);
    }
  }
}

// As project_panels, with weights of half the size: what limits a row is the L2 cache's bandwidth.
template <int gates, int panels>
inline __attribute__((always_inline)) void project_panels_bf16(const slidecell::ProjectRow& a,
                                                               std::int64_t q0) {
  constexpr int pairs = (gates + 1) / 2;
  const std::ptrdiff_t bias_stride = (1 + a.depth) * gates * Vec::lanes;
  const std::ptrdiff_t panel_stride = a.depth * pairs * Vec::lanes;
  const float* w = a.w_bf16 + q0 * panel_stride;
  Vec acc[panels][2 * pairs];
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < 2 * pairs; ++g) {
      acc[q][g] = g < gates ? Vec::load(a.w + (q0 + q) * bias_stride + g * Vec::lanes) : Vec(0.0f);
    }
  }
  for (std::int64_t k = 0; k < a.depth; ++k, w += pairs * Vec::lanes) {
    const Vec x(a.x[k]);
#pragma GCC unroll 4
    for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 2
      for (int p = 0; p < pairs; ++p) {
        const Vec both = Vec::load(w + q * panel_stride + p * Vec::lanes);
        acc[q][2 * p] = fma(bf16_low(both), x, acc[q][2 * p]);
        acc[q][2 * p + 1] = fma(bf16_high(both), x, acc[q][2 * p + 1]);
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) {
      acc[q][g].store(a.out + ((q0 + q) * gates + g) * Vec::lanes);
    }
  }
}

template <int gates>
void project_row_gates(const slidecell::ProjectRow& a) {
  constexpr int at_once = gates == 1 ? 4 : 2;
  std::int64_t q = 0;
  if (a.w_bf16) {
    for (; q + at_once <= a.panels; q += at_once) project_panels_bf16<gates, at_once>(a, q);
    for (; q < a.panels; ++q) project_panels_bf16<gates, 1>(a, q);
    return;
  }
  for (; q + at_once <= a.panels; q += at_once) project_panels<gates, at_once>(a, q);
  for (; q < a.panels; ++q) project_panels<gates, 1>(a, q);
}

void project_row(const slidecell::ProjectRow& a) {
  switch (a.gates) {
    case 1:
      return project_row_gates<1>(a);
    case 2:
      return project_row_gates<2>(a);
    case 3:
      return project_row_gates<3>(a);
    default:
      return project_row_gates<4>(a);
  }
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
