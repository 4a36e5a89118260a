// Which chains of steps run in which lanes of which tiles.
#pragma once

#include <cstdint>
#include <vector>

namespace slidecell {

// Steps over neighbouring rows of one entity, from a zero state at `first_row`. After the step of
// row r the head predicts the window whose first target row is r + 1. Rows are the series'.
struct Chain {
  std::int64_t first_row = 0;
  std::int64_t window_row = 0;  // windows of the plan begin here, and a multiple of stride further
  // The scores of windows whose first target row is first_target .. end_target - 1 are written.
  std::int64_t first_target = 0;
  std::int64_t end_target = 0;
  // Windows begin before first_row: the rows that the chain does not see count as whole.
  bool begins_inside = false;
  // Not null: takes the score of the window whose first target row is first_target.
  float* at_first = nullptr;
  // Not null: takes the score of the window whose first target row is end_target; the chain takes
  // one step more.
  float* at_end = nullptr;

  // The row behind the last that the chain steps over.
  std::int64_t end_row() const { return at_end ? end_target : end_target - 1; }
  std::int64_t steps() const { return end_row() - first_row; }
};

// The chains of a lane, one after the other: `count` of ChainPlan::chains() from `first` on.
struct LaneChains {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t steps = 0;
};

// Cuts chains into tiles of lanes of about equal lengths.
class ChainPlan {
 public:
  // longest: steps of the longest chain that there could be; max_vectors: a tile's groups of
  // `lanes` columns at most; threads: among which the tiles are to be shared.
  ChainPlan(const std::vector<Chain>& chains, std::int64_t longest, std::int64_t lanes,
            std::int64_t max_vectors, int threads);

  const std::vector<Chain>& chains() const { return chains_; }
  std::int64_t tiles() const { return tiles_; }
  // Lanes of every tile, whole vectors; the last tile may use fewer.
  std::int64_t tile_lanes() const { return tile_lanes_; }
  const LaneChains* lane(std::int64_t tile, std::int64_t lane) const {
    const auto i = static_cast<std::size_t>(tile * tile_lanes_ + lane);
    return i < lanes_.size() ? &lanes_[i] : nullptr;
  }

 private:
  const std::vector<Chain>& chains_;
  std::vector<LaneChains> lanes_;  // the longest first
  std::int64_t tile_lanes_ = 0, tiles_ = 0;
};

}  // namespace slidecell
