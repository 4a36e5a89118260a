#include "score/chosen_windows.h"

#include <algorithm>

namespace slidecell {
namespace {

// Fills tiles of one kind with runs, in order.
class TileFiller {
 public:
  TileFiller(std::int64_t lanes, std::int64_t max_vectors, bool mixed)
      : lanes_(lanes), max_vectors_(max_vectors), mixed_(mixed) {}

  void add(WindowRun run) {
    while (run.count > 0) {
      if (tiles_.empty() || room_ == 0) {
        tiles_.push_back({{}, mixed_});
        room_ = mixed_ ? max_vectors_ * lanes_ : max_vectors_;
      }
      const std::int64_t count = std::min(run.count, mixed_ ? room_ : lanes_);
      tiles_.back().runs.push_back({run.entity, run.window, count});
      room_ -= mixed_ ? count : 1;
      run.window += count;
      run.count -= count;
    }
  }

  std::vector<TileWindows>& tiles() { return tiles_; }

 private:
  std::int64_t lanes_, max_vectors_;
  bool mixed_;
  std::int64_t room_ = 0;  // of the last tile: windows if mixed, else vectors
  std::vector<TileWindows> tiles_;
};

}  // namespace

std::vector<TileWindows> chosen_tiles(const WindowPlan& plan, Span<const std::int64_t> windows,
                                      std::int64_t lanes, const MixRule& rule) {
  const bool mixes = mixed_tile_fits(plan, lanes, rule);
  TileFiller own(lanes, rule.max_vectors, false), mixed(lanes, rule.max_vectors, true);
  const Span<const std::int64_t> first = plan.first_window();
  std::size_t g = 0;
  for (std::size_t i = 0; i < windows.size();) {
    while (first[g + 1] <= windows[i]) ++g;
    std::size_t end = i + 1;
    while (end < windows.size() && windows[end] == windows[end - 1] + 1 &&
           windows[end] < first[g + 1]) {
      ++end;
    }
    WindowRun run{static_cast<std::int64_t>(g), windows[i] - first[g],
                  static_cast<std::int64_t>(end - i)};
    const std::int64_t left = run.count % lanes;
    const bool mix = mixes && left <= rule.most;
    if (mix) run.count -= left;
    own.add(run);
    if (mix) mixed.add({run.entity, run.window + run.count, left});
    i = end;
  }
  std::vector<TileWindows> tiles = std::move(own.tiles());
  tiles.insert(tiles.end(), mixed.tiles().begin(), mixed.tiles().end());
  return tiles;
}

}  // namespace slidecell
