// Like instances_fma.cu, entry points that need a matrix unit: sm_80 and later.
#include "kernels.cuh"

namespace {

using slidecell::MmaArgs;

constexpr int kLstmOnly = 1 << slidecell::kLstm;
constexpr int kGruOnly = 1 << slidecell::kGruResetAfter;
constexpr int kResetBeforeOnly = 1 << slidecell::kGruResetBefore;
constexpr int kRnnOnly = 1 << slidecell::kRnn;

template <int cells, int parts, int rows, int hidden_tiles, class MathOf, bool exact = true>
struct Mma {
  static constexpr bool kOnChip = true, kUsual = true, kExact = exact;
  static constexpr int kCells = cells, kParts = parts, kRows = rows;
  static constexpr int kInputTiles = exact ? 1 : hidden_tiles, kHiddenTiles = hidden_tiles;
  using Math = MathOf;
};

}  // namespace

#define SLIDECELL_MMA(name, threads, ...)                  \
  extern "C" __global__ void __launch_bounds__(threads, 1) \
      mma_##name(const __grid_constant__ MmaArgs args) {   \
    extern __shared__ float4 shared[];                     \
    slidecell::run_mma<Mma<__VA_ARGS__>>(args, shared);    \
  }

SLIDECELL_MMA(lstm16_medium, 512, kLstmOnly, 1, 2, 1, slidecell::HardwareMath)
SLIDECELL_MMA(lstm64_medium, 384, kLstmOnly, 1, 2, 4, slidecell::HardwareMath)
SLIDECELL_MMA(lstm64_high, 256, kLstmOnly, 2, 2, 4, slidecell::FastMath)
SLIDECELL_MMA(lstm128_medium, 192, kLstmOnly, 1, 1, 8, slidecell::HardwareMath)
SLIDECELL_MMA(gru64_medium, 384, kGruOnly, 1, 2, 4, slidecell::HardwareMath)
SLIDECELL_MMA(gru_before64_medium, 224, kResetBeforeOnly, 1, 2, 4, slidecell::HardwareMath)
SLIDECELL_MMA(rnn64_medium, 384, kRnnOnly, 1, 2, 4, slidecell::HardwareMath)
SLIDECELL_MMA(rnn64_high, 256, kRnnOnly, 2, 2, 4, slidecell::FastMath)
SLIDECELL_MMA(lstm64_32_medium, 256, kLstmOnly, 1, 2, 4, slidecell::HardwareMath, false)
