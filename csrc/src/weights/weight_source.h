// A layer's weights as the packed layouts read them: by unit and gate.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "slidecell/layer.hpp"

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

// The biases that join the input projection: all but a GRU's b_hn with the reset gate after.
inline std::vector<float> input_bias(const LayerSpec& spec, const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size;
  const bool separate_b_hn = spec.cell == Cell::gru && spec.reset_after;
  std::vector<float> bias(static_cast<std::size_t>(spec.gates() * H), 0.0f);
  for (std::size_t r = 0; r < bias.size(); ++r) {
    if (!weights.b_ih.empty()) bias[r] = weights.b_ih[r];
    const bool is_candidate = static_cast<std::int64_t>(r) >= 2 * H;
    if (!weights.b_hh.empty() && !(separate_b_hn && is_candidate)) bias[r] += weights.b_hh[r];
  }
  return bias;
}

inline std::vector<std::int64_t> all_gates(const LayerSpec& spec) {
  std::vector<std::int64_t> rows;
  for (std::int64_t g = 0; g < spec.gates(); ++g) rows.push_back(g * spec.hidden_size);
  return rows;
}
// bias: of input_bias, kept by the caller.
inline WeightSource input_source(const LayerSpec& spec, const DirectionWeights& weights,
                                 const std::vector<float>& bias) {
  return {weights.w_ih.data(), bias.data(), spec.hidden_size, spec.input_size, all_gates(spec)};
}
inline WeightSource recurrent_source(const LayerSpec& spec, const DirectionWeights& weights) {
  return {weights.w_hh.data(), nullptr, spec.hidden_size, spec.state_size(), all_gates(spec)};
}

// Round to nearest even. The weights are finite.
inline std::uint32_t bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

}  // namespace slidecell
