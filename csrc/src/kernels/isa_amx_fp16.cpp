#include "kernels/pairs_avx512.h"
//
#include "kernels/halves_avx512.h"
#ifdef SLIDECELL_EMULATE_AMX
#include "kernels/tiles_emulated.h"
#else
#include "kernels/tiles_amx.h"
#endif
//
#include "kernels/product-inl.h"
//
#include "kernels/half_tile-inl.h"

namespace slidecell {
const MatrixKernels& matrix_amx_fp16() {
  static const MatrixKernels kernels = [] {
#ifdef SLIDECELL_EMULATE_AMX
    // Emulated registers are those of one unit: it holds all that uses them.
    MatrixKernels all = make_matrix_kernels<TileBlocks>("amx", 1);
#else
    MatrixKernels all = matrix_amx();
#endif
    use_half_activations(all);
    return all;
  }();
  return kernels;
}
}  // namespace slidecell
