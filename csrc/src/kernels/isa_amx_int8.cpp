#include "kernels/codes_amx.h"
#ifdef SLIDECELL_EMULATE_AMX
#include "kernels/tiles_emulated.h"
#else
#include "kernels/tiles_amx.h"
#endif
//
#include "kernels/low_tile-inl.h"

namespace slidecell {
const LowKernels& low_amx() {
  static constexpr LowKernels kernels = make_low_tile_kernels("amx");
  return kernels;
}
}  // namespace slidecell
