// Like instances_mma.cu, entry points that need a matrix unit which reads shared memory: sm_90a.
#include "kernels.cuh"

namespace {

using slidecell::MmaArgs;

template <int input_tiles, int hidden_tiles>
struct Wgmma {
  static constexpr bool kOnChip = true, kExact = true;
  static constexpr int kParts = 1, kRows = 1;
  static constexpr int kInputTiles = input_tiles, kHiddenTiles = hidden_tiles;
  using Math = slidecell::HardwareMath;
};

}  // namespace

#define SLIDECELL_WGMMA(name, threads, ...)                 \
  extern "C" __global__ void __launch_bounds__(threads, 1)  \
      wgmma_##name(const __grid_constant__ MmaArgs args) {  \
    extern __shared__ float4 shared[];                      \
    slidecell::run_wgmma<Wgmma<__VA_ARGS__>>(args, shared); \
  }

SLIDECELL_WGMMA(lstm16, 512, 1, 1)
SLIDECELL_WGMMA(lstm32, 512, 1, 2)
SLIDECELL_WGMMA(lstm48, 384, 1, 3)
SLIDECELL_WGMMA(lstm64, 256, 1, 4)
SLIDECELL_WGMMA(lstm64_30_features, 256, 2, 4)
SLIDECELL_WGMMA(lstm48_30_features, 384, 2, 3)
SLIDECELL_WGMMA(lstm32_30_features, 512, 2, 2)
