#include "kernels/vec_avx512.h"
//
#include "kernels/codes_avx512.h"
#include "kernels/kernels-inl.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const KernelTable& kernels_avx512() {
  static constexpr LowKernels low = make_low_kernels<LowRegisters>("vpmaddwd");
  static constexpr KernelTable table = make_kernels<Registers>("avx512", &low);
  return table;
}
}  // namespace slidecell
