// Scores of windows by carried states: one chain of steps serves a block of windows.
//
// An entity's rows are cut into blocks of `carried_block_rows` rows, numbered from its first row; a
// window belongs to the block of its first target row. The chain of block j starts from zero at row
// max(0, j B - W) of the entity and is carried through the block, so a window is scored from a
// state that has taken W to W + B rows (in block 0 up to B) instead of W.
//
// A row that is missing or too large zeroes its chain's state: windows that hold it have no score,
// as in exact mode, and the first window after it is exact.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_parts.h"
#include "score/choose_kernel.h"
#include "slidecell/windows.hpp"

namespace slidecell {

// The least prime that is at least 4 W: rows this far apart do not meet in the same cache sets.
std::int64_t carried_block_rows(std::int64_t window);

// Whether a window of age W that a chain of one choice of kernels scores has the bits that the
// other choice gives it wherever it is computed: multiply-adds of one kernel do.
bool chains_are_exact(const KernelChoice& chain, const KernelChoice& exact);

struct BlockId {
  std::int64_t entity = 0;
  std::int64_t block = 0;  // of the entity's rows block * B .. (block + 1) * B - 1
};

// The window whose first target row follows a block, which the block's chain scores at its oldest
// age, whatever the stride; both scores are NaN where the window has none.
struct Seam {
  std::int64_t entity = 0;
  std::int64_t block = 0;
  std::int64_t row = 0;  // of the series, as `out` is numbered: where the window's score stands
  float carried = 0;     // by the block's chain, in the precision that was asked for
  float exact = 0;       // as score_windows gives it at Precision::highest, bit for bit
};

// Throws UnsupportedError, which names `argument` and what else it could be, for models and strides
// that have no carried scores.
void check_carried(const ModelParts& model, std::int64_t stride, const char* argument = "windows",
                   const char* otherwise = "exact");

// The blocks of an entity of `rows` rows that hold windows: those from 0 to this number. A window
// needs its target, so the last rows may belong to no block.
std::int64_t carried_blocks(std::int64_t rows, std::int64_t window, std::int64_t horizon);

// out [S] or [S, T], as score_windows gives it, for the windows of `plan`; options.aggregate and
// options.stride are not read. Arguments are checked by the caller, check_carried included.
// blocks: if not null, these alone are run; the scores of their windows are written (NaN where
// there is none, infinity at a row that is too large), all other rows of `out` are left as they
// are. Not with options.per_feature.
// seams: if not null, gets one entry for each block run that has a window beyond its end, in the
// order of `blocks`, or of entities and blocks. Not with options.per_feature.
// The bits depend on neither threads nor the other blocks that are run.
void carried_scores(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    const ScoreOptions& options, const std::vector<BlockId>* blocks, float* out,
                    std::vector<Seam>* seams);

// out [S], for the windows of `plan`, by chains that are younger than a window: each starts from
// zero (W + 1) / 2 rows before its block and ends before it has taken more than W rows. Other rows
// are left as they are; windows whose first rows are missing may have a score.
void younger_scores(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    const ScoreOptions& options, float* out);

}  // namespace slidecell
