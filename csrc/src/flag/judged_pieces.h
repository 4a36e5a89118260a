// The windows of a plan in pieces, which threads judge side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/parallel.h"
#include "flag/cheap_pass.h"
#include "flag/judged_rows.h"
#include "weights/pack.h"

namespace slidecell {

// Calls visit(entity, windows) for each entity that has some of these windows.
template <class Visit>
void for_entities(const WindowPlan& plan, WindowRange range, Visit visit) {
  if (range.first >= range.end) return;
  const Span<const std::int64_t> first = plan.first_window();
  for (std::int64_t g = plan.entity_of(range.first); g < plan.num_entities(); ++g) {
    const auto i = static_cast<std::size_t>(g);
    if (first[i] >= range.end) break;
    if (first[i] == first[i + 1]) continue;
    visit(g, WindowRange{std::max(range.first, first[i]), std::min(range.end, first[i + 1])});
  }
}

// Averages reach over the rows of an entity: then all windows are one piece, and the averages are
// what threads share.
class JudgedPieces {
 public:
  JudgedPieces(const WindowPlan& plan, const FlagOptions& options)
      : plan_(plan), options_(options) {
    constexpr std::int64_t kWindows = 1 << 14;  // their rows and values stay in a 512 KB cache
    each_ = averages() ? std::max<std::int64_t>(1, plan.size()) : kWindows;
  }

  bool averages() const { return options_.moving_average > 0 || options_.trailing_mean > 0; }

  // Calls work(rows, entity, result) for the rows of each entity in each piece, in order within
  // it, and returns the results of the pieces in order. scores [S]; results: what they start from.
  template <class Result, class Work>
  std::vector<Result> map(const float* scores, Work work, std::vector<Result> results = {}) const {
    const std::int64_t pieces = ceil_div(plan_.size(), each_);
    results.resize(static_cast<std::size_t>(pieces));
    parallel_for<KeepDenormals>(
        pieces, options_.num_threads, [&] { return JudgedRows(plan_, options_); },
        [&](JudgedRows& rows, std::int64_t piece) {
          const WindowRange range{piece * each_, std::min(plan_.size(), (piece + 1) * each_)};
          for_entities(plan_, range, [&](std::int64_t g, WindowRange windows) {
            rows.load(g, windows, scores);
            work(rows, g, results[static_cast<std::size_t>(piece)]);
          });
        });
    return results;
  }

 private:
  const WindowPlan& plan_;
  const FlagOptions& options_;
  std::int64_t each_;  // windows of a piece
};

}  // namespace slidecell
