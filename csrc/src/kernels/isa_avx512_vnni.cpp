#include "kernels/codes_avx512_vnni.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const LowKernels& low_avx512_vnni() {
  static constexpr LowKernels kernels = make_low_kernels<LowRegisters>("vnni");
  return kernels;
}
}  // namespace slidecell
