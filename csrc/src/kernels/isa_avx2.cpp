#include "kernels/vec_avx2.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_avx2() {
  static constexpr KernelTable table = make_kernels<Registers>("avx2");
  return table;
}
}  // namespace slidecell
