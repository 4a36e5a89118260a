// The kernel tables that this build holds and this CPU can run.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/kernel_table.h"
#include "slidecell/cpu.hpp"

namespace slidecell {

constexpr std::size_t kMaxIsas = 4;

// The table of the active ISA. Taken once per call, outside all loops.
const KernelTable& active_kernels();

// The table of an ISA by name. Throws UnsupportedError if it is not available here.
const KernelTable& kernels_named(const std::string& name);

// Position of a table among those of this build, below kMaxIsas.
std::size_t isa_index(const KernelTable& kernels);

// The threads that a call runs on: num_threads, or the default for 0; 1 where a fork has left the
// OpenMP runtime unusable. Throws std::invalid_argument if negative.
int resolve_threads(int num_threads);

// Remembers that the OpenMP runtime has started threads in this process.
void note_parallel_region();

}  // namespace slidecell
