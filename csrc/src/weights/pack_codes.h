// A layer's weights for 8-bit recurrent products (kernels/low_table.h).
#pragma once

#include "weights/pack.h"

namespace slidecell {

// Whether 8-bit products serve a layer: its h must lie between -1 and 1.
bool serves_low(const LayerSpec& spec);

PackedDirection pack_low_direction(const KernelTable& kernels, const LayerSpec& spec,
                                   const DirectionWeights& weights, Products products);

// [rows, depth] in both orientations, for the tests: as a product of one gate.
PackedCodes pack_codes_columns(const LowKernels& low, std::int64_t rows, std::int64_t depth,
                               const float* w);
PackedCodes pack_codes_row(const KernelTable& kernels, std::int64_t rows, std::int64_t depth,
                           const float* w);

}  // namespace slidecell
