#include "kernels/pairs_avx512.h"
#ifdef SLIDECELL_EMULATE_AMX
#include "kernels/tiles_emulated.h"
#else
#include "kernels/tiles_amx.h"
#endif
//
#include "kernels/product-inl.h"
#include "kernels/tile-inl.h"

namespace slidecell {
const MatrixKernels& matrix_amx() {
  static constexpr MatrixKernels kernels = make_matrix_kernels<TileBlocks>("amx", 1);
  return kernels;
}
}  // namespace slidecell
