// 8-bit products on AMX tiles, on any CPU with AVX-512: their kernels with tiles of plain C++.
#pragma once

#include "kernels/low_table.h"

namespace slidecell::test {

const LowKernels& low_tiles_emulated();

// The calling thread's emulated configuration.
TileConfig low_tile_config();
void set_low_tile_config(const TileConfig& config);

}  // namespace slidecell::test
