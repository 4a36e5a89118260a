#include "flag/pilot.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "flag/judged_pieces.h"
#include "flag/margins.h"
#include "flag/undecided.h"

namespace slidecell {
namespace {

constexpr std::int64_t kAtLeast = 16;  // blocks that are tried

// The largest of `many` distances beside that of `few`, by the tail of a normal distribution.
double growth(double few, double many) {
  return std::sqrt(std::max(1.0, std::log(std::max(many, 2.0)) / std::log(std::max(few, 2.0))));
}

}  // namespace

Pilot try_some_blocks(const CheapPass& pass, const WindowPlan& plan, const Thresholds& thresholds,
                      bool absolute, std::int64_t one_of, JudgedRows& rows, float* score) {
  const std::int64_t all = pass.blocks();
  const std::int64_t step = std::clamp<std::int64_t>(all / kAtLeast, 1, one_of);
  std::vector<std::int64_t> blocks, whole;
  for (std::int64_t b = all / 2 % step; b < all; b += step) blocks.push_back(b);
  Margins margins(plan.num_entities(), absolute);
  Pilot pilot;
  pilot.measured = margins.measure(pass.score_blocks(blocks, score), thresholds, whole);
  if (!pilot.measured) return pilot;
  const auto for_tried = [&](const std::vector<std::int64_t>& tried, auto visit) {
    for (const std::int64_t b : tried) {
      for_entities(plan, pass.windows(b), [&](std::int64_t g, WindowRange range) {
        rows.load(g, range, score);
        visit(b, g);
      });
    }
  };
  std::int64_t again = 0, flagged = 0, windows = 0;
  for_tried(blocks, [&](std::int64_t, std::int64_t g) {
    windows += static_cast<std::int64_t>(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      flagged += rows.value(i) > thresholds.at(g, rows.row(i)) ? 1 : 0;
    }
  });
  const auto n = static_cast<double>(std::max<std::int64_t>(1, windows));
  // All seams and all that is flagged will be measured.
  margins.widen(growth(static_cast<double>(margins.seams()),
                       static_cast<double>(all) +
                           static_cast<double>(flagged) / n * static_cast<double>(plan.size())));
  std::sort(whole.begin(), whole.end());
  for_tried(blocks, [&](std::int64_t b, std::int64_t g) {
    if (std::binary_search(whole.begin(), whole.end(), b)) {
      again += static_cast<std::int64_t>(rows.size());
      return;
    }
    for_undecided(
        rows, g, thresholds, margins, [](std::size_t) { return 0.0; },
        [&](std::size_t) { ++again; });
  });
  pilot.again = static_cast<double>(again) / n;
  return pilot;
}

}  // namespace slidecell
