// The AMX kernels on any CPU: their source, compiled with vectors and tiles of plain C++.
#pragma once

#include "kernels/kernel_table.h"

namespace slidecell::test {

// ISA "amx_emulated": sixteen lanes, tile kernels.
const KernelTable& amx_emulated();

// The same with activations in emulated float16 at one part, and these alone: of scaled sums (see
// kernels/matrix_table.h), with quotients that err upwards in odd lanes and downwards in others.
const KernelTable& amx_halves_emulated();
float half_sigmoid(float z, bool odd);
float half_tanh(float z, bool odd);

// This thread's emulated tile registers: palette 0 where nothing configured them.
TileConfig tile_config();
void set_tile_config(const TileConfig& config);

}  // namespace slidecell::test
