#include "kernels/vec_neon.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_neon() {
  static constexpr KernelTable table =
      make_kernels<2, 3>("neon");  // 24 sums + 3 columns + 1 weight = 28 of 32 registers
  return table;
}
}  // namespace slidecell
