#include "kernels/vec_avx2.h"
//
#include "kernels/codes_avx2.h"
#include "kernels/kernels-inl.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const KernelTable& kernels_avx2() {
  static constexpr LowKernels low = make_low_kernels<LowRegisters>("vpmaddwd");
  static constexpr KernelTable table = make_kernels<Registers>("avx2", &low);
  return table;
}
}  // namespace slidecell
