#include "flag/judged_rows.h"

#include <algorithm>
#include <cmath>

#include "cpu/parallel.h"
#include "weights/pack.h"

namespace slidecell {

JudgedRows::JudgedRows(const WindowPlan& plan, const FlagOptions& options)
    : plan_(plan),
      scores_averaged_(options.moving_average),
      rows_averaged_(options.trailing_mean),
      num_threads_(options.num_threads) {}

void JudgedRows::load(std::int64_t entity, WindowRange range, const float* scores) {
  const auto g = static_cast<std::size_t>(entity);
  const std::int64_t span = plan_.window() + plan_.horizon();
  first_window_ = plan_.first_window()[g];
  first_row_ = plan_.offsets()[g] + span - 1;
  rows_.clear();
  values_.clear();
  for (std::int64_t w = range.first; w < range.end; ++w) {
    const std::int64_t row = first_row_ + (w - first_window_) * plan_.stride();
    const float score = scores[row];
    if (std::isnan(score)) continue;
    rows_.push_back(row);
    values_.push_back(static_cast<double>(score));
  }
  if (!averages()) return;
  scores_ = values_;
  find_oldest();
  average();
}

// A row whose score is not finite takes no part in the means of others, and keeps its own score.
void JudgedRows::find_oldest() {
  oldest_.resize(rows_.size());
  std::size_t oldest = 0;
  std::int64_t finite = 0;  // of oldest .. i
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (!std::isfinite(scores_[i])) {
      oldest_[i] = i;
      continue;
    }
    ++finite;
    const auto beyond = [&] {
      return scores_averaged_ > 0 ? finite > scores_averaged_
                                  : rows_[i] - rows_[oldest] >= rows_averaged_;
    };
    while (beyond() || !std::isfinite(scores_[oldest])) {
      finite -= std::isfinite(scores_[oldest]) ? 1 : 0;
      ++oldest;
    }
    oldest_[i] = oldest;
  }
}

// From the oldest to the newest score, every time.
void JudgedRows::average() {
  constexpr std::size_t kChunk = 4096;
  const std::size_t n = rows_.size();
  const auto chunks = static_cast<std::int64_t>((n + kChunk - 1) / kChunk);
  parallel_for<KeepDenormals>(
      chunks, num_threads_, [] { return 0; },
      [&](int, std::int64_t chunk) {
        const std::size_t first = static_cast<std::size_t>(chunk) * kChunk;
        for (std::size_t i = first; i < std::min(n, first + kChunk); ++i) {
          if (!std::isfinite(scores_[i])) continue;
          double total = 0, count = 0;
          for (std::size_t j = oldest_[i]; j <= i; ++j) {
            if (!std::isfinite(scores_[j])) continue;
            total += scores_[j];
            count += 1;
          }
          values_[i] = total / count;
        }
      });
}

}  // namespace slidecell
