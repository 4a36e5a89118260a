// The row orientation: one direction of a layer, one window or batch row at a time.
#pragma once

#include <cstdint>

#include "pack.h"

namespace slidecell {

// Floats that step_layer_row needs as scratch.
inline std::int64_t layer_row_scratch(const KernelTable& kernels, const LayerSpec& spec) {
  const std::int64_t padded = round_up(spec.hidden_size, kernels.lanes);
  return (spec.gates() + 3) * padded + round_up(spec.proj_size, kernels.lanes);
}

// One step. Allocates nothing.
void step_layer_row(const KernelTable& kernels, const LayerSpec& spec,
                    const PackedDirection& packed,
                    const float* x,   // [I]
                    const float* h,   // [state_size]; null: h and c are zero
                    float* c,         // [H] LSTM, read and written
                    float* h_out,     // [state_size], may be h
                    float* scratch);  // [layer_row_scratch]

}  // namespace slidecell
