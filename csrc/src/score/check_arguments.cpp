#include "score/check_arguments.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "windows/require_pointer.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

}  // namespace

void check_series(const ModelParts& model, const SeriesView& series) {
  if (series.cols != model.input_size()) {
    const std::string F = std::to_string(model.input_size());
    refuse("series: expected [S, " + F + "] (model input_size=" + F + "), got [" +
           std::to_string(series.rows) + ", " + std::to_string(series.cols) + "]");
  }
  require_pointer(series.data, series.rows, "series");
}

void check_plan(const ModelParts& model, const SeriesView& series, const WindowPlan& plan) {
  check_series(model, series);
  if (plan.window() != model.window || plan.horizon() != model.horizon) {
    refuse("plan: expected window=" + std::to_string(model.window) +
           " and horizon=" + std::to_string(model.horizon) + " (the model's), got window=" +
           std::to_string(plan.window()) + " and horizon=" + std::to_string(plan.horizon()));
  }
  if (plan.num_rows() != series.rows) {
    refuse("offsets: expected to end at " + std::to_string(series.rows) +
           " (rows of series), got " + std::to_string(plan.num_rows()));
  }
}

WindowPlan window_plan(const ModelParts& model, const SeriesView& series,
                       Span<const std::int64_t> offsets, std::int64_t stride) {
  const std::int64_t one_entity[] = {0, series.rows};
  if (offsets.empty()) offsets = {one_entity, 2};
  require_pointer(offsets.data(), 1, "offsets");
  std::vector<std::int64_t> bounds(offsets.begin(), offsets.end());
  WindowPlan plan(std::move(bounds), model.window, model.horizon, stride);
  check_plan(model, series, plan);
  return plan;
}

}  // namespace slidecell
