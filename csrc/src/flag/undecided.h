// Which rows a margin leaves undecided.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "flag/judged_rows.h"
#include "flag/margins.h"
#include "flag/thresholds.h"

namespace slidecell {

// Calls visit for the rows of `rows` that undecided ones rest on, each once, in order.
// own(i): a distance that was measured for row i itself, see Margins::least_undecided.
template <class Own, class Visit>
void for_undecided(const JudgedRows& rows, std::int64_t entity, const Thresholds& thresholds,
                   const Margins& margins, Own own, Visit visit) {
  std::size_t next = 0;
  // Neighbours often have the same threshold.
  double threshold = std::numeric_limits<double>::quiet_NaN(), distance = 0, least = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double its = thresholds.at(entity, rows.row(i)), measured = own(i);
    if (its != threshold || measured != distance) {
      threshold = its;
      distance = measured;
      least = margins.least_undecided(entity, threshold, distance);
    }
    if (rows.value(i) < least) continue;
    for (std::size_t j = std::max(next, rows.oldest(i)); j <= i; ++j) visit(j);
    next = i + 1;
  }
}

}  // namespace slidecell
