#include "kernels/pairs_avx512.h"
//
#include "kernels/dot-inl.h"

namespace slidecell {
const MatrixKernels& matrix_avx512_bf16() {
  static constexpr MatrixKernels kernels = make_matrix_kernels<DotBlocks>("bf16", 0);
  return kernels;
}
}  // namespace slidecell
