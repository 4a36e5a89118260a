#include "train/train_pack.h"

#include <algorithm>

#include "weights/cells.h"
#include "weights/pack.h"

namespace slidecell {
namespace {

// Copies units j .. j+count-1 of every gate of a product: out [depth][gates.count][units].
void pack_product(const TrainGates& gates, const float* w, std::int64_t hidden, std::int64_t depth,
                  std::int64_t j, std::int64_t units, float* out) {
  const std::int64_t count = std::min(units, hidden - j);
  for (std::int64_t g = 0; g < gates.count; ++g) {
    for (std::int64_t u = 0; u < count; ++u) {
      const float* row = w + (gates.torch_gate(g) * hidden + j + u) * depth;
      float* to = out + g * units + u;
      for (std::int64_t k = 0; k < depth; ++k) to[k * gates.count * units] = row[k];
    }
  }
}

}  // namespace

AlignedFloats pack_train_step(const KernelTable& kernels, const LayerSpec& spec,
                              const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size, I = spec.input_size, units = kernels.train.block_units;
  const CellTraits& traits = traits_of(spec);
  const TrainGates &inputs = traits.input, &recurrent = traits.recurrent;
  const std::int64_t gates = traits.tile_gates;
  const std::int64_t block = units * (gates + inputs.count * I + recurrent.count * H);
  AlignedFloats packed(ceil_div(H, units) * block);
  const auto add_bias = [&](const TrainGates& own, Span<const float> bias, std::int64_t j,
                            float* out) {
    if (bias.empty()) return;
    for (std::int64_t g = 0; g < own.count; ++g) {
      for (std::int64_t u = 0; u < std::min(units, H - j); ++u) {
        out[(own.first + g) * units + u] +=
            bias[static_cast<std::size_t>(own.torch_gate(g) * H + j + u)];
      }
    }
  };
  float* out = packed.data();
  for (std::int64_t j = 0; j < H; j += units, out += block) {
    add_bias(inputs, weights.b_ih, j, out);
    add_bias(recurrent, weights.b_hh, j, out);
    float* const input_rows = out + gates * units;
    pack_product(inputs, weights.w_ih.data(), H, I, j, units, input_rows);
    pack_product(recurrent, weights.w_hh.data(), H, H, j, units,
                 input_rows + I * inputs.count * units);
  }
  return packed;
}

AlignedFloats pack_transposed(const KernelTable& kernels, const TrainGates& gates,
                              std::int64_t hidden, const float* w, std::int64_t columns) {
  const std::int64_t rows = kernels.block_rows, depth = gates.count * hidden;
  AlignedFloats packed(ceil_div(columns, rows) * (1 + depth) * rows);
  float* out = packed.data();
  for (std::int64_t j = 0; j < columns; j += rows) {
    out += rows;  // the bias: zeros
    for (std::int64_t k = 0; k < depth; ++k, out += rows) {
      const std::int64_t row = gates.torch_gate(k / hidden) * hidden + k % hidden;
      std::copy_n(w + row * columns + j, std::min(rows, columns - j), out);
    }
  }
  return packed;
}

}  // namespace slidecell
