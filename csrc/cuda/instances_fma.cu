// Entry points as source.py writes them, for shapes of an insider-threat forecaster (W=7, 7
// features) and their neighbours: what CI compiles, with limits on registers and spills. All but
// those that need a matrix unit, which instances_mma.cu has.
#include "kernels.cuh"

namespace {

using slidecell::FmaArgs;

constexpr int kLstmOnly = 1 << slidecell::kLstm;
constexpr int kGruOnly = 1 << slidecell::kGruResetAfter;
constexpr int kResetBeforeOnly = 1 << slidecell::kGruResetBefore;
constexpr int kRnnOnly = 1 << slidecell::kRnn;

template <int cells, bool on_chip, bool project_on_chip, bool stacked, bool usual, int quads = 1>
struct Fma {
  static constexpr bool kOnChip = on_chip, kProjectOnChip = project_on_chip;
  static constexpr bool kUsual = usual, kStacked = stacked;
  static constexpr int kCells = cells, kQuads = quads;
};

}  // namespace

#define SLIDECELL_FMA(name, blocks, ...)                    \
  extern "C" __global__ void __launch_bounds__(256, blocks) \
      fma_##name(const __grid_constant__ FmaArgs args) {    \
    extern __shared__ float4 shared[];                      \
    slidecell::run_fma<Fma<__VA_ARGS__>>(args, shared);     \
  }

SLIDECELL_FMA(lstm, 1, kLstmOnly, true, true, false, true)
SLIDECELL_FMA(lstm_two_blocks, 2, kLstmOnly, true, true, false, true)
SLIDECELL_FMA(lstm_scratch, 1, kLstmOnly, true, false, false, true)
SLIDECELL_FMA(lstm_two_quads, 1, kLstmOnly, true, false, false, true, 2)
SLIDECELL_FMA(lstm_stream, 2, kLstmOnly, false, false, false, true)
SLIDECELL_FMA(lstm_stacked, 1, kLstmOnly, false, false, true, true)
SLIDECELL_FMA(lstm_any, 1, kLstmOnly, true, true, false, false)
SLIDECELL_FMA(gru, 1, kGruOnly, true, true, false, true)
SLIDECELL_FMA(gru_two_quads, 1, kGruOnly, true, false, false, true, 2)
SLIDECELL_FMA(gru_before, 1, kResetBeforeOnly, true, true, false, true)
SLIDECELL_FMA(gru_before_two_quads, 1, kResetBeforeOnly, true, false, false, true, 2)
SLIDECELL_FMA(rnn_two_quads, 1, kRnnOnly, true, true, false, true, 2)
SLIDECELL_FMA(lstm_any_two_quads, 1, kLstmOnly, true, false, false, false, 2)
SLIDECELL_FMA(rnn, 1, kRnnOnly, true, true, false, true)
SLIDECELL_FMA(rnn_any, 1, kRnnOnly, true, true, false, false)

extern "C" __global__ void copy_rows(const __grid_constant__ slidecell::RowsArgs args) {
  slidecell::copy_rows(args);
}
extern "C" __global__ void score_distances(const __grid_constant__ slidecell::ReduceArgs args) {
  slidecell::score_distances(args);
}
extern "C" __global__ void add_row_errors(const __grid_constant__ slidecell::ReduceArgs args) {
  slidecell::add_row_errors(args);
}
extern "C" __global__ void average_rows(const __grid_constant__ slidecell::ReduceArgs args) {
  slidecell::average_rows(args);
}
extern "C" __global__ void gather_windows(const __grid_constant__ slidecell::GatherArgs args) {
  slidecell::gather_windows(args);
}
