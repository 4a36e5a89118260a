// The first look of `flag`: all windows scored cheaply, block by block, with a seam for each block,
// a window that is scored cheaply and exactly.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_parts.h"
#include "slidecell/windows.hpp"

namespace slidecell {

struct MeasuredSeam {
  std::int64_t entity = 0;
  std::int64_t block = 0;  // the one that it measures
  std::int64_t row = 0;    // of the series, where the window's score stands
  float cheap = 0, exact = 0;
};

// Windows first .. end-1 of the plan.
struct WindowRange {
  std::int64_t first = 0, end = 0;
};

class CheapPass {
 public:
  virtual ~CheapPass() = default;

  virtual const char* name() const = 0;
  // Whether its scores are of carried states, which a younger chain can measure.
  virtual bool carries_states() const { return false; }
  // What it costs a window by the counts of step_cost.h, in steps of an exact score, which takes W.
  virtual double steps() const = 0;

  // Every window of the plan belongs to one block; blocks are in the order of their windows.
  virtual std::int64_t blocks() const = 0;
  virtual WindowRange windows(std::int64_t block) const = 0;
  virtual std::int64_t block_of(std::int64_t entity, std::int64_t window) const = 0;

  // Writes the scores of all windows to out [S], as score_windows does, and returns the seams.
  virtual std::vector<MeasuredSeam> score(float* out) const = 0;
  // The same for the windows of some blocks, ascending; other rows are left as they are.
  virtual std::vector<MeasuredSeam> score_blocks(const std::vector<std::int64_t>& blocks,
                                                 float* out) const = 0;
};

// The model, series and plan must outlive the pass. options: those of the exact score.
// Every window at a lower precision; a window chosen by a hash from every 256 is computed exactly
// too, and measures them.
std::unique_ptr<CheapPass> sampled_pass(const ModelParts& model, const SeriesView& series,
                                        const WindowPlan& plan, const ScoreOptions& options,
                                        Precision precision);

// Every window of a block from one chain of steps, whose state is carried from window to window;
// the window that follows the block measures it. check_carried (score/carried.h) must hold.
// precision: highest or low.
std::unique_ptr<CheapPass> carried_pass(const ModelParts& model, const SeriesView& series,
                                        const WindowPlan& plan, const ScoreOptions& options,
                                        Precision precision);

// Spreads numbers evenly: neighbours have nothing in common. (The finaliser of SplitMix64, Steele
// et al. 2014, "Fast splittable pseudorandom number generators".)
inline std::uint64_t hash_of(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// The row of the series at which a window's score stands: O(log G).
inline std::int64_t score_row(const WindowPlan& plan, std::int64_t window) {
  return plan.start(window) + plan.window() + plan.horizon() - 1;
}

}  // namespace slidecell
