// Tiles whose products of one part are activated in float16.
#pragma once

#include "kernels/half-inl.h"
#include "kernels/tile-inl.h"

namespace {

struct HalfTileBlocks : TileBlocks {
  template <int parts>
  using Activations = HalfActivations;
};

inline void use_half_activations(slidecell::MatrixKernels& kernels) {
  add_matrix_steps<HalfTileBlocks, 1>(kernels);
  kernels.has_halves = true;
}

}  // namespace
