#include "train/train_pack.h"

#include <algorithm>

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

// A GRU's tile has m r z n: W_hh h enters m r z, torch's gates 2 0 1, and W_ih x enters r z n.
TrainGates input_gates(Cell cell) {
  return cell == Cell::lstm ? TrainGates{0, 4, 0} : TrainGates{1, 3, 0};
}
TrainGates recurrent_gates(Cell cell) {
  return cell == Cell::lstm ? TrainGates{0, 4, 0} : TrainGates{0, 3, 2};
}

AlignedFloats pack_train_step(const KernelTable& kernels, const LayerSpec& spec,
                              const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size, I = spec.input_size, units = kernels.units;
  const TrainGates inputs = input_gates(spec.cell), recurrent = recurrent_gates(spec.cell);
  const std::int64_t block = units * (4 + inputs.count * I + recurrent.count * H);
  AlignedFloats packed(ceil_div(H, units) * block);
  const auto add_bias = [&](const TrainGates& gates, Span<const float> bias, std::int64_t j,
                            float* out) {
    if (bias.empty()) return;
    for (std::int64_t g = 0; g < gates.count; ++g) {
      for (std::int64_t u = 0; u < std::min(units, H - j); ++u) {
        out[(gates.first + g) * units + u] +=
            bias[static_cast<std::size_t>(gates.torch_gate(g) * H + j + u)];
      }
    }
  };
  float* out = packed.data();
  for (std::int64_t j = 0; j < H; j += units, out += block) {
    add_bias(inputs, weights.b_ih, j, out);
    add_bias(recurrent, weights.b_hh, j, out);
    float* const input_rows = out + 4 * units;
    pack_product(inputs, weights.w_ih.data(), H, I, j, units, input_rows);
    pack_product(recurrent, weights.w_hh.data(), H, H, j, units,
                 input_rows + I * inputs.count * units);
  }
  return packed;
}

AlignedFloats pack_transposed(const KernelTable& kernels, const TrainGates& gates,
                              std::int64_t hidden, const float* w, std::int64_t columns) {
  const std::int64_t rows = 4 * kernels.units, depth = gates.count * hidden;
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
