#include "kernels/vec_neon.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_neon() {
  static constexpr KernelTable table = make_kernels<Registers>("neon");
  return table;
}
}  // namespace slidecell
