// SequenceModel::flag: arguments checked, then flag.h.
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "flag/flag.h"
#include "model/model_impl.h"
#include "score/check_arguments.h"
#include "score/error_sum.h"
#include "slidecell/model.hpp"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

void check_options(const FlagOptions& options) {
  if (options.audit < 1) {
    refuse("audit: expected an integer >= 1, got " + std::to_string(options.audit));
  }
  for (const std::int64_t n : {options.moving_average, options.trailing_mean}) {
    if (n < 0) refuse("smoothing: expected a mean of 1 or more, got " + std::to_string(n));
  }
  if (options.moving_average > 0 && options.trailing_mean > 0) {
    refuse("smoothing: expected one of moving_average and trailing_mean, got both");
  }
  switch (options.speculate) {
    case Speculate::automatic:
    case Speculate::none:
    case Speculate::carried:
    case Speculate::carried_low:
      break;
    case Speculate::medium:
    case Speculate::low:
      if (options.certify) {
        refuse(
            "certify: expected False where speculate names a precision: a younger chain measures "
            "carried states alone");
      }
  }
}

void check_thresholds(Span<const double> thresholds, const WindowPlan& plan) {
  const auto size = static_cast<std::int64_t>(thresholds.size());
  if (size != 1 && size != plan.num_entities() && size != plan.num_rows()) {
    refuse("threshold: expected one number, [" + std::to_string(plan.num_entities()) +
           "] (one per entity) or [" + std::to_string(plan.num_rows()) + "] (one per row), got [" +
           std::to_string(size) + "]");
  }
  for (std::size_t i = 0; i < thresholds.size(); ++i) {
    if (std::isnan(thresholds[i])) {
      refuse("threshold: expected no NaN, got one at " + std::to_string(i));
    }
  }
}

}  // namespace

FlagAudit SequenceModel::flag(const SeriesView& series, Span<const double> thresholds,
                              Span<const std::int64_t> offsets, std::uint8_t* flagged, float* score,
                              std::uint8_t* exact, const FlagOptions& options) const {
  const ModelParts& model = impl_->parts;
  check_series(model, series);
  check_reduction(model, options.reduction);
  check_options(options);
  const WindowPlan plan = window_plan(model, series, offsets, options.stride);
  require_pointer(thresholds.data(), static_cast<std::int64_t>(thresholds.size()), "threshold");
  check_thresholds(thresholds, plan);
  require_pointer(flagged, series.rows, "flagged");
  require_pointer(score, series.rows, "score");
  require_pointer(exact, series.rows, "exact");
  return flag_windows(model, series, plan, Thresholds(thresholds, plan), options, flagged, score,
                      exact);
}

}  // namespace slidecell
