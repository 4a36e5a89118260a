#include "kernels/pairs_avx512.h"
#include "kernels/tiles_amx.h"
//
#include "kernels/product-inl.h"
#include "kernels/tile-inl.h"

namespace slidecell {
const MatrixKernels& matrix_amx() {
  static constexpr MatrixKernels kernels = make_tile_kernels("amx", 1);
  return kernels;
}
}  // namespace slidecell
