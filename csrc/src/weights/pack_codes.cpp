#include "weights/pack_codes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "weights/scaled_rows.h"
#include "weights/weight_source.h"

namespace slidecell {
namespace {

constexpr double kMaxCode = 127.0;

// The codes of one row of weights, and what a code stands for.
struct CodedRow {
  std::vector<std::int32_t> codes;
  double step;
};

CodedRow code_row(const WeightSource& s, std::int64_t unit, std::int64_t gate) {
  CodedRow row{std::vector<std::int32_t>(static_cast<std::size_t>(s.depth)), 0.0};
  double largest = 0.0;
  for (std::int64_t k = 0; k < s.depth; ++k) {
    largest = std::max(largest, std::fabs(static_cast<double>(s.weight(unit, gate, k))));
  }
  if (largest == 0.0) return row;
  row.step = largest / kMaxCode;
  for (std::int64_t k = 0; k < s.depth; ++k) {
    const double code = static_cast<double>(s.weight(unit, gate, k)) / row.step;
    row.codes[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(std::nearbyint(code));
  }
  return row;
}

// The row of a gate of a unit in one of the orientations: its number, and where its words lie:
// `chunk` of them together from `first` on, `step` words on the next ones.
struct RowPlace {
  std::int64_t row, first, chunk, step;
  std::int64_t word(std::int64_t k) const { return first + k / chunk * step + k % chunk; }
};

std::int64_t words_of(const LowKernels& low, std::int64_t depth) {
  return round_up(depth, 4) / low.per_word;
}

// scales: what the sums of each gate are scaled by, beside what their codes stand for.
template <class Place>
PackedCodes pack_codes(const LowKernels& low, const WeightSource& s, std::int64_t padded_rows,
                       std::int64_t words, const std::vector<double>& scales, Place place) {
  const std::int64_t bits = 32 / low.per_word;
  const std::uint32_t mask = 0xffffffffu >> (32 - bits);
  PackedCodes packed;
  packed.words.reset(padded_rows * words);
  packed.start.reset(padded_rows);
  packed.scale.reset(padded_rows);
  for (std::int64_t unit = 0; unit < s.units; ++unit) {
    for (std::int64_t gate = 0; gate < s.gates(); ++gate) {
      const RowPlace at = place(unit, gate);
      const CodedRow row = code_row(s, unit, gate);
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < s.depth; ++k) {
        const std::int32_t code = row.codes[static_cast<std::size_t>(k)];
        sum += code;
        packed.words.data()[at.word(k / low.per_word)] |= (static_cast<std::uint32_t>(code) & mask)
                                                          << (k % low.per_word * bits);
      }
      packed.start.data()[at.row] = -low.offset * sum;
      packed.scale.data()[at.row] =
          static_cast<float>(row.step / kMaxCode * scales[static_cast<std::size_t>(gate)]);
    }
  }
  return packed;
}

PackedCodes pack_columns(const LowKernels& low, const WeightSource& s,
                         const std::vector<double>& scales) {
  const std::int64_t block = s.gates() * low.block_units[s.gates()], chunk = low.chunk;
  const std::int64_t words = round_up(words_of(low, s.depth), chunk);
  return pack_codes(low, s, round_up(s.units * s.gates(), block), words, scales,
                    [&](std::int64_t unit, std::int64_t gate) {
                      const std::int64_t row = unit * s.gates() + gate, within = row % block;
                      return RowPlace{row, (row - within) * words + within * chunk, chunk,
                                      block * chunk};
                    });
}

PackedCodes pack_row(const KernelTable& kernels, const WeightSource& s,
                     const std::vector<double>& scales) {
  const LowKernels& low = *kernels.low;
  const std::int64_t lanes = kernels.lanes, gates = s.gates();
  const std::int64_t words = words_of(low, s.depth);
  return pack_codes(low, s, round_up(s.units, lanes) * gates, words, scales,
                    [&](std::int64_t unit, std::int64_t gate) {
                      const std::int64_t panel = unit / lanes, within = gate * lanes + unit % lanes;
                      return RowPlace{panel * gates * lanes + within,
                                      panel * words * gates * lanes + within, 1, gates * lanes};
                    });
}

}  // namespace

bool serves_low(const LayerSpec& spec) {
  switch (spec.activation) {
    case Activation::tanh:
    case Activation::sigmoid:
      return spec.proj_size == 0 && spec.hidden_size <= kMaxLowSize;
    case Activation::relu:
    case Activation::linear:
      break;
  }
  return false;
}

PackedCodes pack_codes_columns(const LowKernels& low, std::int64_t rows, std::int64_t depth,
                               const float* w) {
  return pack_columns(low, {w, nullptr, rows, depth, {0}}, {1.0});
}

PackedCodes pack_codes_row(const KernelTable& kernels, std::int64_t rows, std::int64_t depth,
                           const float* w) {
  return pack_row(kernels, {w, nullptr, rows, depth, {0}}, {1.0});
}

PackedDirection pack_low_direction(const KernelTable& kernels, const LayerSpec& spec,
                                   const DirectionWeights& weights, Products products) {
  const bool scaled = has_scaled_rows(spec);
  const CellTraits& traits = traits_of(spec);
  const auto rows = [&](Span<const float> values, std::int64_t depth) {
    return scaled ? scaled_rows(spec, values, depth)
                  : std::vector<float>(values.begin(), values.end());
  };
  const std::vector<float> w_ih = rows(weights.w_ih, spec.input_size);
  const std::vector<float> b_ih = rows(weights.b_ih, 1), b_hh = rows(weights.b_hh, 1);
  PackedDirection packed;
  packed.products = products;
  packed.low_scaled = scaled;
  packed.input = pack_bf16_input(kernels, spec, {w_ih, weights.w_hh, b_ih, b_hh, {}});
  packed.form = form_of(spec);
  packed.recurrent_gates = traits.of_h.count;
  packed.late_gates = traits.late.count;
  packed.b_hh = separate_bias(spec, b_hh, round_up(spec.hidden_size, kernels.lanes));

  const auto pack = [&](const GateProduct& product, PackedCodes& columns, PackedCodes& row) {
    const WeightSource source = recurrent_source(spec, weights, product);
    std::vector<double> scales;
    for (int g = 0; g < product.count; ++g) {
      scales.push_back(scaled ? gate_scale(traits, product.first + g) : 1.0);
    }
    columns = pack_columns(low_kernels(kernels, products), source, scales);
    if (!on_tiles(products)) row = pack_row(kernels, source, scales);
  };
  pack(traits.of_h, packed.low_columns, packed.low_row);
  if (packed.late_gates > 0) pack(traits.late, packed.low_late_columns, packed.low_late_row);
  return packed;
}

}  // namespace slidecell
