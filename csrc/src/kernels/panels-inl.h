// The products of the row orientation: panels of hidden units, one window at a time.
#pragma once

#include <cstdint>

#include "kernels/product-inl.h"

namespace {

// `panels` panels from q0 on. Panels holds the arguments of a product and says of what it is made:
// the sums of a panel, what they start from, what an input adds to them.
template <int panels, class Panels>
inline __attribute__((always_inline)) void multiply_panels(const Panels& p, std::int64_t q0) {
  typename Panels::Sum acc[panels][Panels::sums];
#pragma GCC unroll 8
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < Panels::sums; ++g) acc[q][g] = p.start(q0 + q, g);
  }
  const std::ptrdiff_t stride = p.panel_stride();
  auto w = p.weights() + q0 * stride;
  for (std::int64_t k = 0; k < p.depth(); ++k, w += Panels::row) {
    const auto x = p.input(k);
#pragma GCC unroll 8
    for (int q = 0; q < panels; ++q) Panels::add(w + q * stride, x, acc[q]);
  }
#pragma GCC unroll 8
  for (int q = 0; q < panels; ++q) {
#pragma GCC unroll 4
    for (int g = 0; g < Panels::gates; ++g) {
      Panels::result(acc[q][g]).store(p.a.out + ((q0 + q) * Panels::gates + g) * Vec::lanes);
    }
  }
}

// All panels, as many at once as give enough independent chains to hide the latency of the
// multiply-add. (One more of them where it would be left alone makes the loads slower.)
template <class Panels>
inline void multiply_all_panels(const Panels& p) {
  constexpr int most = Panels::gates == 1 ? 4 : 2;
  const std::int64_t all = p.a.panels;
  std::int64_t q = 0;
  for (; q + most <= all; q += most) multiply_panels<most>(p, q);
  for (; q < all; ++q) multiply_panels<1>(p, q);
}

// Runs the product whose Panels are given by the number of gates.
template <template <int gates> class Panels, class Arguments>
inline void multiply_by_gates(const Arguments& a) {
  switch (a.gates) {
    case 1:
      return multiply_all_panels(Panels<1>{a});
    case 2:
      return multiply_all_panels(Panels<2>{a});
    case 3:
      return multiply_all_panels(Panels<3>{a});
    default:
      return multiply_all_panels(Panels<4>{a});
  }
}

}  // namespace
