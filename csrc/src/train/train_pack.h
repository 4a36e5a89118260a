// Weights in the layouts of the training kernels. They change with every update, so packing is
// part of a call.
#pragma once

#include "cpu/aligned.h"
#include "kernels/kernel_table.h"
#include "slidecell/layer.hpp"

namespace slidecell {

// TrainStep::w.
AlignedFloats pack_train_step(const KernelTable& kernels, const LayerSpec& spec,
                              const DirectionWeights& weights);

// BackwardStep::w, also ProjectColumns::w: `w` [gates.count * H, columns] transposed, no bias.
AlignedFloats pack_transposed(const KernelTable& kernels, const TrainGates& gates,
                              std::int64_t hidden, const float* w, std::int64_t columns);

}  // namespace slidecell
