#include "score/chain_plan.h"

#include <algorithm>

#include "weights/pack.h"

namespace slidecell {

ChainPlan::ChainPlan(const std::vector<Chain>& chains, std::int64_t longest, std::int64_t lanes,
                     std::int64_t max_vectors, int threads)
    : chains_(chains) {
  const auto count = static_cast<std::int64_t>(chains.size());
  // Short chains follow one another in a lane, but only where others fill all lanes.
  const bool joins = count > max_vectors * lanes * threads;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t steps = chains[static_cast<std::size_t>(i)].steps();
    if (joins && !lanes_.empty() && lanes_.back().steps + steps <= longest) {
      ++lanes_.back().count;
      lanes_.back().steps += steps;
    } else {
      lanes_.push_back({i, 1, steps});
    }
  }
  if (lanes_.empty()) return;
  // A tile takes as long as its longest lane.
  std::sort(lanes_.begin(), lanes_.end(), [](const LaneChains& a, const LaneChains& b) {
    return a.steps != b.steps ? a.steps > b.steps : a.first < b.first;
  });
  const auto used = static_cast<std::int64_t>(lanes_.size());
  const std::int64_t vectors = ceil_div(used, lanes);
  const std::int64_t full = ceil_div(vectors, max_vectors);
  // As many tiles for each thread, where there are vectors enough.
  const std::int64_t shared = std::min<std::int64_t>(vectors, round_up(full, threads));
  tile_lanes_ = round_up(ceil_div(used, shared), lanes);
  tiles_ = ceil_div(used, tile_lanes_);
}

}  // namespace slidecell
