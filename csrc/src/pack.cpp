#include "pack.h"

#include <cstring>
#include <utility>

namespace slidecell {
namespace {

// A matrix [sources, depth] and how its rows serve as (unit, gate): row gate_rows[gate] + unit.
struct Source {
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

// [blocks][head + depth][block_rows], rows in the order (unit, gate), zeros beyond the last.
AlignedFloats pack_columns(const Source& s, std::int64_t block_rows, bool with_bias) {
  const std::int64_t rows = s.units * s.gates(), head = with_bias ? 1 : 0;
  AlignedFloats packed(ceil_div(rows, block_rows) * block_rows * (head + s.depth));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t unit = r / s.gates(), gate = r % s.gates();
    float* out = packed.data() + r / block_rows * block_rows * (head + s.depth) + r % block_rows;
    if (with_bias) *out = s.bias_of(unit, gate);
    for (std::int64_t k = 0; k < s.depth; ++k) {
      out[(head + k) * block_rows] = s.weight(unit, gate, k);
    }
  }
  return packed;
}

// [panels][1 + depth][gates][lanes], the bias first, zeros beyond the last unit.
AlignedFloats pack_row(const Source& s, std::int64_t lanes) {
  AlignedFloats packed(ceil_div(s.units, lanes) * (1 + s.depth) * s.gates() * lanes);
  for (std::int64_t unit = 0; unit < s.units; ++unit) {
    float* panel = packed.data() + unit / lanes * (1 + s.depth) * s.gates() * lanes;
    for (std::int64_t gate = 0; gate < s.gates(); ++gate) {
      float* out = panel + gate * lanes + unit % lanes;
      *out = s.bias_of(unit, gate);
      for (std::int64_t k = 0; k < s.depth; ++k) {
        out[(1 + k) * s.gates() * lanes] = s.weight(unit, gate, k);
      }
    }
  }
  return packed;
}

// Round to nearest even. The weights are finite.
std::uint32_t bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// [panels][depth][ceil(gates/2)][lanes], two gates a lane.
AlignedFloats pack_row_bf16(const Source& s, std::int64_t lanes) {
  const std::int64_t pairs = ceil_div(s.gates(), 2);
  AlignedFloats packed(ceil_div(s.units, lanes) * s.depth * pairs * lanes);
  for (std::int64_t unit = 0; unit < s.units; ++unit) {
    float* panel = packed.data() + unit / lanes * s.depth * pairs * lanes;
    for (std::int64_t k = 0; k < s.depth; ++k) {
      for (std::int64_t p = 0; p < pairs; ++p) {
        const bool whole = 2 * p + 1 < s.gates();
        const std::uint32_t both = bf16(s.weight(unit, 2 * p, k)) |
                                   (whole ? bf16(s.weight(unit, 2 * p + 1, k)) << 16 : 0u);
        std::memcpy(panel + (k * pairs + p) * lanes + unit % lanes, &both, sizeof both);
      }
    }
  }
  return packed;
}

PackedLinear pack_source(const KernelTable& kernels, const Source& s) {
  return {s.units * s.gates(),        s.depth, s.gates(), pack_columns(s, 4 * kernels.units, true),
          pack_row(s, kernels.lanes), {}};
}

// The biases that join the input projection: all but a GRU's b_hn with the reset gate after.
std::vector<float> input_bias(const LayerSpec& spec, const DirectionWeights& weights) {
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

}  // namespace

PackedLinear pack_linear(const KernelTable& kernels, std::int64_t rows, std::int64_t depth,
                         const float* w, const float* b) {
  return pack_source(kernels, {w, b, rows, depth, {0}});
}

PackedDirection pack_direction(const KernelTable& kernels, const LayerSpec& spec,
                               const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size, K = spec.state_size(), units = kernels.units;
  std::vector<std::int64_t> all_gates;
  for (std::int64_t g = 0; g < spec.gates(); ++g) all_gates.push_back(g * H);

  PackedDirection packed;
  const std::vector<float> bias = input_bias(spec, weights);
  const Source input{weights.w_ih.data(), bias.data(), H, spec.input_size, all_gates};
  packed.input = pack_source(kernels, input);
  packed.input.row_bf16 = pack_row_bf16(input, kernels.lanes);

  Source recurrent{weights.w_hh.data(), nullptr, H, K, all_gates};
  std::int64_t block_rows = spec.gates() * units;
  if (spec.cell == Cell::gru && !spec.reset_after) {
    recurrent.gate_rows = {2 * H};
    packed.candidate_columns = pack_columns(recurrent, 4 * units, false);
    packed.candidate_row = pack_row(recurrent, kernels.lanes);
    recurrent.gate_rows = {0, H};
    block_rows = 4 * units;
  }
  packed.recurrent_columns = pack_columns(recurrent, block_rows, false);
  packed.recurrent_row = pack_row(recurrent, kernels.lanes);
  packed.recurrent_row_bf16 = pack_row_bf16(recurrent, kernels.lanes);

  if (spec.cell == Cell::gru && spec.reset_after) {
    packed.b_hn.reset(round_up(H, kernels.lanes));
    for (std::int64_t j = 0; j < H && !weights.b_hh.empty(); ++j) {
      packed.b_hn.data()[j] = weights.b_hh[static_cast<std::size_t>(2 * H + j)];
    }
  }
  if (spec.proj_size > 0) {
    packed.projection = pack_linear(kernels, spec.proj_size, H, weights.w_hr.data(), nullptr);
  }
  return packed;
}

}  // namespace slidecell
