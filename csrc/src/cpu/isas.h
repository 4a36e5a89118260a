// The instruction sets of this build, and which of them this CPU runs.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace slidecell {

struct Isa {
  const KernelTable* kernels;
  std::string refusal;  // why it is not available here; empty: it is
  bool available() const { return refusal.empty(); }
};

// Slowest first.
const std::vector<Isa>& isas();

}  // namespace slidecell
