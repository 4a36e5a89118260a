// Flags whose raised alarms are proved by exact scores, and whose missed ones a sample bounds.
#pragma once

#include <cstdint>

#include "flag/thresholds.h"
#include "model/model_parts.h"
#include "slidecell/windows.hpp"

namespace slidecell {

// flagged, score, exact [S]. Arguments are checked by the caller.
FlagAudit flag_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                       const Thresholds& thresholds, const FlagOptions& options,
                       std::uint8_t* flagged, float* score, std::uint8_t* exact);

}  // namespace slidecell
