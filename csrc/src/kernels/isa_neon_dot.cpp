#include "kernels/codes_neon_dot.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const LowKernels& low_neon_dot() {
  static constexpr LowKernels kernels = make_low_kernels<LowRegisters>("sdot");
  return kernels;
}
}  // namespace slidecell
