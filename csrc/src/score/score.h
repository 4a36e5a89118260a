// Scores, predictions and codes of every window, straight from the series.
#pragma once

#include <cstdint>

#include "model/model_parts.h"
#include "score/choose_kernel.h"

namespace slidecell {

// out [S] or [S, T]: NaN where there is no score. Arguments are checked by the caller.
void score_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                   const ScoreOptions& options, float* out);

// The scores of the windows numbered `windows` (of the plan, ascending, each once), bit for bit
// those of score_windows, at the rows of out [S] where they stand. All other rows are left as they
// are, and so are those of windows that hold a missing or too large row. options.aggregate is not
// mean, options.per_feature not set.
void score_chosen_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                          const ScoreOptions& options, Span<const std::int64_t> windows,
                          float* out);

// out [windows, K or W, T], raw.
void predict_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                     int num_threads, float* out);

// Their log variances, likewise. The model must have some.
void predict_log_variances(const ModelParts& model, const SeriesView& series,
                           const WindowPlan& plan, int num_threads, float* out);

// out [windows, code].
void encode_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    int num_threads, float* out);

}  // namespace slidecell
