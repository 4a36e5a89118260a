#include "kernels/vec_neon.h"
//
#include "kernels/codes_neon.h"
#include "kernels/kernels-inl.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const KernelTable& kernels_neon() {
  static constexpr LowKernels low = make_low_kernels<LowRegisters>("smull");
  static constexpr KernelTable table = make_kernels<Registers>("neon", &low);
  return table;
}
}  // namespace slidecell
