// The network on one tile of chains: lanes are chains, head and errors are fused into each step.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "layers/columns.h"
#include "layers/head.h"
#include "model/model_parts.h"
#include "score/chain_plan.h"
#include "score/choose_kernel.h"
#include "score/error_sum.h"
#include "windows/cast_rows.h"

namespace slidecell {

// What chains are scored from and where the scores go.
struct ChainScores {
  const SeriesView& series;
  std::int64_t stride;  // of windows
  Reduction reduction;
  bool per_feature;
  float* out;  // [S] or [S, T]
};

// One thread's workspace. It holds the rows of a few steps and K targets of each lane.
class ChainRunner final : private InputColumns, private StepSink {
 public:
  // tile_lanes: of a plan's tiles.
  ChainRunner(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
              const ChainScores& scores, std::int64_t tile_lanes);

  // What the workspace takes. As double: sizes from a file may overflow an integer.
  static double bytes(const ModelParts& model, bool per_feature, std::int64_t tile_lanes);

  void run(const ChainPlan& plan, std::int64_t tile);
  // Whether a row of any chain was too large.
  bool met_too_large() const { return met_too_large_; }

 private:
  struct Lane {
    const Chain* chain = nullptr;  // null: idle
    const Chain* end = nullptr;    // behind the lane's last chain
    std::int64_t row = 0;          // of the series, that the block's first step takes
    std::int64_t last_bad = 0;     // row that is missing or too large, of those seen
    bool fresh = false;            // the block's first step is the chain's
  };

  std::int64_t begin_block(bool first);
  void load_block(bool first);
  void load_lane(std::int64_t column, std::int64_t from, std::int64_t to);
  bool wanted(const Lane& lane, std::int64_t target) const;
  void score_lane(Lane& lane, std::int64_t column, std::int64_t target);
  RowState& state_at(std::int64_t row, std::int64_t column) {
    return bad_[static_cast<std::size_t>(row * stride_ + column)];
  }

  StepInput at(std::int64_t step, std::size_t direction) override;
  void on_step(std::int64_t step, const float* h) override;

  const ModelParts& model_;
  const KernelTable& kernels_;
  ChainScores scores_;
  std::unique_ptr<TileStack> stack_;
  std::ptrdiff_t stride_;  // columns of a step
  std::int64_t rows_;      // of the series that a lane holds: steps of a block and K targets
  std::int64_t vectors_ = 0;
  std::vector<std::int32_t> col_, true_col_;
  std::vector<Lane> lanes_;
  std::vector<char> wanted_;        // [lanes] a window ends with this step
  AlignedFloats x_;                 // [F][rows][stride]
  AlignedFloats p_;                 // [G*H][stride]
  std::vector<RowState> bad_;       // [rows][stride]
  std::vector<RowState> lane_bad_;  // [rows] of one lane
  RowState held_ = kWholeRow;       // all of bad_ together
  HeadColumns head_;
  AlignedFloats pred_;  // [head rows][stride]
  ErrorSum errors_;
  AlignedFloats sums_;  // [values][stride]
  float scale_;
  bool met_too_large_ = false;
};

}  // namespace slidecell
