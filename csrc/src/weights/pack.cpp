#include "weights/pack.h"

#include <algorithm>
#include <cstring>

#include "weights/weight_source.h"

namespace slidecell {
namespace {

// [blocks][head + depth][block_rows], rows in the order (unit, gate), zeros beyond the last.
AlignedFloats pack_columns(const WeightSource& s, std::int64_t block_rows, bool with_bias) {
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
AlignedFloats pack_row(const WeightSource& s, std::int64_t lanes) {
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

// [panels][depth][ceil(gates/2)][lanes], two gates a lane.
AlignedFloats pack_row_bf16(const WeightSource& s, std::int64_t lanes) {
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

PackedLinear pack_source(const KernelTable& kernels, const WeightSource& s) {
  return {s.units * s.gates(),        s.depth, s.gates(), pack_columns(s, kernels.block_rows, true),
          pack_row(s, kernels.lanes), {}};
}

}  // namespace

PackedLinear pack_linear(const KernelTable& kernels, std::int64_t rows, std::int64_t depth,
                         const float* w, const float* b) {
  return pack_source(kernels, {w, b, rows, depth, {0}});
}

PackedLinear pack_input(const KernelTable& kernels, const LayerSpec& spec,
                        const DirectionWeights& weights) {
  const std::vector<float> bias = input_bias(spec, weights);
  return pack_source(kernels, input_source(spec, weights, bias));
}

PackedLinear pack_bf16_input(const KernelTable& kernels, const LayerSpec& spec,
                             const DirectionWeights& weights) {
  std::vector<float> rounded(weights.w_ih.begin(), weights.w_ih.end());
  constexpr float kLargest = 3.38e38f;  // those beyond would be infinite
  for (float& weight : rounded) weight = rounded_to_bf16(std::clamp(weight, -kLargest, kLargest));
  DirectionWeights own = weights;
  own.w_ih = rounded;
  const std::vector<float> bias = input_bias(spec, own);
  const WeightSource source = input_source(spec, own, bias);
  PackedLinear packed = pack_source(kernels, source);
  packed.row_bf16 = pack_row_bf16(source, kernels.lanes);
  return packed;
}

PackedDirection pack_direction(const KernelTable& kernels, const LayerSpec& spec,
                               const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size;
  const CellTraits& traits = traits_of(spec);
  PackedDirection packed;
  const std::vector<float> bias = input_bias(spec, weights);
  const WeightSource input = input_source(spec, weights, bias);
  packed.input = pack_source(kernels, input);
  packed.input.row_bf16 = pack_row_bf16(input, kernels.lanes);

  packed.form = form_of(spec);
  packed.recurrent_gates = traits.of_h.count;
  packed.late_gates = traits.late.count;
  const auto recurrent_columns = [&](const WeightSource& source) {
    const std::int64_t gates = source.gates();
    return pack_columns(source, gates * kernels.block_units[gates], false);
  };
  const WeightSource recurrent = recurrent_source(spec, weights, traits.of_h);
  packed.recurrent_columns = recurrent_columns(recurrent);
  packed.recurrent_row = pack_row(recurrent, kernels.lanes);
  packed.recurrent_row_bf16 = pack_row_bf16(recurrent, kernels.lanes);
  if (packed.late_gates > 0) {
    const WeightSource late = recurrent_source(spec, weights, traits.late);
    packed.late_columns = recurrent_columns(late);
    packed.late_row = pack_row(late, kernels.lanes);
  }
  packed.b_hh = separate_bias(spec, weights.b_hh, round_up(H, kernels.lanes));
  if (spec.proj_size > 0) {
    packed.projection = pack_linear(kernels, spec.proj_size, H, weights.w_hr.data(), nullptr);
  }
  return packed;
}

}  // namespace slidecell
