// The AMX kernels on any CPU: their source, compiled with vectors and tiles of plain C++.
#pragma once

#include "kernels/kernel_table.h"

namespace slidecell::test {

// ISA "amx_emulated": sixteen lanes, tile kernels.
const KernelTable& amx_emulated();

// Tiles in use now: 0 outside a kernel.
int open_tiles();

}  // namespace slidecell::test
