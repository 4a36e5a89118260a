// The AMX kernels on any CPU: their source, compiled with vectors and tiles of plain C++.
#pragma once

#include "kernels/kernel_table.h"

namespace slidecell::test {

// ISA "amx_emulated": sixteen lanes, tile kernels.
const KernelTable& amx_emulated();

// This thread's emulated tile registers: palette 0 where nothing configured them.
TileConfig tile_config();
void set_tile_config(const TileConfig& config);

}  // namespace slidecell::test
