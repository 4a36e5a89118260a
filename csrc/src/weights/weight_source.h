// A layer's weights as the packed layouts read them: by unit and gate.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/aligned.h"
#include "slidecell/layer.hpp"
#include "weights/cells.h"

namespace slidecell {

// A matrix [sources, depth] and how its rows serve as (unit, gate): row gate_rows[gate] + unit.
struct WeightSource {
  const float* w;     // [sources, depth]
  const float* bias;  // [sources], or null: zeros
  std::int64_t units, depth;
  std::vector<std::int64_t> gate_rows;  // first row of each gate

  std::int64_t gates() const { return static_cast<std::int64_t>(gate_rows.size()); }
  float weight(std::int64_t unit, std::int64_t gate, std::int64_t k) const {
    return w[(gate_rows[static_cast<std::size_t>(gate)] + unit) * depth + k];
  }
  float bias_of(std::int64_t unit, std::int64_t gate) const {
    return bias ? bias[gate_rows[static_cast<std::size_t>(gate)] + unit] : 0.0f;
  }
};

// The biases that join the input projection: all but a separate recurrent one.
inline std::vector<float> input_bias(const LayerSpec& spec, const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size;
  const std::int64_t separate = traits_of(spec).separate_bias;
  std::vector<float> bias(static_cast<std::size_t>(spec.gates() * H), 0.0f);
  for (std::size_t r = 0; r < bias.size(); ++r) {
    if (!weights.b_ih.empty()) bias[r] = weights.b_ih[r];
    const bool joins = static_cast<std::int64_t>(r) / H != separate;
    if (!weights.b_hh.empty() && joins) bias[r] += weights.b_hh[r];
  }
  return bias;
}

// The separate recurrent bias in a buffer of `size` floats, zeros where the layer has no biases;
// empty where its cell has none.
inline AlignedFloats separate_bias(const LayerSpec& spec, Span<const float> b_hh,
                                   std::int64_t size) {
  const std::int64_t H = spec.hidden_size, gate = traits_of(spec).separate_bias;
  AlignedFloats bias;
  if (gate < 0) return bias;
  bias.reset(size);
  if (!b_hh.empty()) std::copy_n(b_hh.data() + gate * H, H, bias.data());
  return bias;
}

// The first rows of a product's gates.
inline std::vector<std::int64_t> gate_rows(const LayerSpec& spec, const GateProduct& product) {
  std::vector<std::int64_t> rows;
  for (int g = 0; g < product.count; ++g) rows.push_back((product.first + g) * spec.hidden_size);
  return rows;
}
// bias: of input_bias, kept by the caller.
inline WeightSource input_source(const LayerSpec& spec, const DirectionWeights& weights,
                                 const std::vector<float>& bias) {
  return {weights.w_ih.data(), bias.data(), spec.hidden_size, spec.input_size,
          gate_rows(spec, {0, traits_of(spec).gates})};
}
inline WeightSource recurrent_source(const LayerSpec& spec, const DirectionWeights& weights,
                                     const GateProduct& product) {
  return {weights.w_hh.data(), nullptr, spec.hidden_size, spec.state_size(),
          gate_rows(spec, product)};
}

// Round to nearest even. The weights are finite.
inline std::uint32_t bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
inline float rounded_to_bf16(float value) {
  const std::uint32_t bits = bf16(value) << 16;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace slidecell
