// The kernels of the active instruction set, and of any other by name.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/kernel_table.h"

namespace slidecell {

// At least those of a build, and one more for the tests.
constexpr std::size_t kMaxIsas = 8;

// The table of the active ISA. Taken once per call, outside all loops.
const KernelTable& active_kernels();

// Whether the environment or set_isa() named it: then nothing else may serve in its place.
bool isa_was_named();

// The table of an ISA by name. Throws UnsupportedError if it is not available here.
const KernelTable& kernels_named(const std::string& name);

// Makes any table the active one. It must live as long as it is used.
void use_kernels(const KernelTable& kernels);

// Position of a table among those of this build, below kMaxIsas; all others share the last one.
std::size_t isa_index(const KernelTable& kernels);

}  // namespace slidecell
