#include "kernels/vec_avx2.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_avx2() {
  static constexpr KernelTable table =
      make_kernels<1, 3>("avx2");  // 12 sums + 3 columns + 1 weight = 16 ymm
  return table;
}
}  // namespace slidecell
