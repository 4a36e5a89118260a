#include "kernels/vec_avx512.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_avx512() {
  static constexpr KernelTable table = make_kernels<Registers>("avx512");
  return table;
}
}  // namespace slidecell
