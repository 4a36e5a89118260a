// Weights in the layouts of the training kernels. They change with every update, so packing is
// part of a call.
#pragma once

#include "cpu/aligned.h"
#include "kernels/kernel_table.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// Where a product's rows of gates lie in a training tile ([4][H] rows, see train_table.h) and in
// torch's weights.
struct TrainGates {
  std::int64_t first = 0;  // gate of the tile that is the product's first
  std::int64_t count = 0;  // gates
  std::int64_t shift = 0;  // its gate g is torch's gate (g + shift) % count

  std::int64_t torch_gate(std::int64_t g) const { return (g + shift) % count; }
};
TrainGates input_gates(Cell cell);      // that W_ih x enters
TrainGates recurrent_gates(Cell cell);  // that W_hh h enters

// TrainStep::w.
AlignedFloats pack_train_step(const KernelTable& kernels, const LayerSpec& spec,
                              const DirectionWeights& weights);

// BackwardStep::w, also ProjectColumns::w: `w` [gates.count * H, columns] transposed, no bias.
AlignedFloats pack_transposed(const KernelTable& kernels, const TrainGates& gates,
                              std::int64_t hidden, const float* w, std::int64_t columns);

}  // namespace slidecell
