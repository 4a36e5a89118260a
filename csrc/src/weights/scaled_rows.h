// Rows of gates that are scaled, so that their activations begin with 2^x: see
// kernels/matrix_table.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "slidecell/layer.hpp"
#include "slidecell/span.hpp"
#include "weights/cells.h"

namespace slidecell {

// What the rows of each gate are scaled by: see kernels/matrix_table.h. In float64, so that scaling
// costs one rounding.
inline double gate_scale(const CellTraits& traits, std::int64_t gate) {
  constexpr double kLog2e = 1.4426950408889634;
  return gate == traits.candidate ? 2.0 * kLog2e : -kLog2e;
}

// A copy of [G*H, depth], each row scaled; what would not be finite as bf16 is clamped.
inline std::vector<float> scaled_rows(const LayerSpec& spec, Span<const float> values,
                                      std::int64_t depth) {
  const CellTraits& traits = traits_of(spec);
  constexpr double kLargest = 3.3e38;
  std::vector<float> out(values.begin(), values.end());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t gate = static_cast<std::int64_t>(i) / depth / spec.hidden_size;
    const double value = static_cast<double>(out[i]) * gate_scale(traits, gate);
    out[i] = static_cast<float>(std::clamp(value, -kLargest, kLargest));
  }
  return out;
}

}  // namespace slidecell
