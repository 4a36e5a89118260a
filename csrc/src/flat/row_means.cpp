// Means of the scores of neighbouring rows.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "cpu/parallel.h"
#include "slidecell/window_scorer.hpp"
#include "slidecell/windows.hpp"
#include "windows/require_pointer.h"

namespace slidecell {

void row_means(Span<const float> scores, Span<const std::int64_t> offsets, std::int64_t before,
               std::int64_t after, bool own, double* out, int num_threads) {
  for (const auto& [name, value] : {std::pair{"before", before}, std::pair{"after", after}}) {
    if (value < 0) {
      throw std::invalid_argument(std::string(name) + ": expected a whole number >= 0, got " +
                                  std::to_string(value));
    }
  }
  const auto rows = static_cast<std::int64_t>(scores.size());
  const WindowPlan entities({offsets.begin(), offsets.end()}, 1, 0);
  if (entities.num_rows() != rows) {
    throw std::invalid_argument("offsets: expected the last one to be " + std::to_string(rows) +
                                ", got " + std::to_string(entities.num_rows()));
  }
  require_pointer(scores.data(), rows, "scores");
  require_pointer(out, rows, "out");
  constexpr std::int64_t kChunk = 4096;
  parallel_for((rows + kChunk - 1) / kChunk, num_threads, [] { return 0; },
               [&](int, std::int64_t chunk) {
                 const std::int64_t end = std::min(rows, (chunk + 1) * kChunk);
                 auto last = std::upper_bound(offsets.begin(), offsets.end(), chunk * kChunk);
                 for (std::int64_t r = chunk * kChunk; r < end; ++r) {
                   while (*last <= r) ++last;  // the end of the row's entity
                   const float score = scores[static_cast<std::size_t>(r)];
                   if (std::isinf(score) || (own && std::isnan(score))) {
                     out[r] = static_cast<double>(score);
                     continue;
                   }
                   const std::int64_t from = r - std::min(before, r - *(last - 1));
                   const std::int64_t to = r + std::min(after, *last - 1 - r);
                   double sum = 0.0;
                   std::int64_t count = 0;
                   for (std::int64_t i = from; i <= to; ++i) {
                     const float one = scores[static_cast<std::size_t>(i)];
                     if (!std::isfinite(one)) continue;
                     sum += static_cast<double>(one);
                     ++count;
                   }
                   out[r] = count > 0 ? sum / static_cast<double>(count)
                                      : std::numeric_limits<double>::quiet_NaN();
                 }
               });
}

}  // namespace slidecell
