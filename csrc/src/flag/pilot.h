// A cheap pass tried on some of its blocks.
#pragma once

#include <cstdint>

#include "flag/cheap_pass.h"
#include "flag/judged_rows.h"
#include "flag/thresholds.h"

namespace slidecell {

struct Pilot {
  bool measured = false;  // a seam gave a distance; else nothing is known
  double again = 0;       // share of the windows that would be computed again
};

// Tries one block of every one_of, or of fewer, so that there are some. Writes the scores of their
// windows to score [S]. rows is a workspace.
Pilot try_some_blocks(const CheapPass& pass, const WindowPlan& plan, const Thresholds& thresholds,
                      bool absolute, std::int64_t one_of, JudgedRows& rows, float* score);

}  // namespace slidecell
