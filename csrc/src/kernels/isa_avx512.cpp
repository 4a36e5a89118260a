#include "kernels/vec_avx512.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_avx512() {
  static constexpr KernelTable table =
      make_kernels<2, 3>("avx512");  // 24 sums + 3 columns + 1 weight = 28 of 32 zmm
  return table;
}
}  // namespace slidecell
