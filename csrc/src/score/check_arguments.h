// The arguments that SequenceModel's methods share: each error names the argument, what was
// expected and what came.
#pragma once

#include <cstdint>

#include "model/model_parts.h"
#include "slidecell/span.hpp"
#include "slidecell/windows.hpp"

namespace slidecell {

// Throws std::invalid_argument unless the series has the model's columns.
void check_series(const ModelParts& model, const SeriesView& series);

// Throws std::invalid_argument unless the plan is one of the model's windows in the series.
void check_plan(const ModelParts& model, const SeriesView& series, const WindowPlan& plan);

// The windows of the series. offsets [G+1], empty: one entity. Throws std::invalid_argument.
WindowPlan window_plan(const ModelParts& model, const SeriesView& series,
                       Span<const std::int64_t> offsets, std::int64_t stride);

}  // namespace slidecell
