// SequenceModel's methods that score, predict and encode: arguments checked, then score.h.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/active_kernels.h"
#include "cpu/threads.h"
#include "model/model_impl.h"
#include "score/carried.h"
#include "score/check_arguments.h"
#include "score/choose_kernel.h"
#include "score/error_sum.h"
#include "score/option_rules.h"
#include "score/score.h"
#include "score/tile_runner.h"
#include "slidecell/model.hpp"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

}  // namespace

void SequenceModel::score(const SeriesView& series, Span<const std::int64_t> offsets, float* out,
                          const ScoreOptions& options) const {
  const ModelParts& model = impl_->parts;
  check_series(model, series);
  if (options.aggregate != Aggregate::window && model.forecasts()) {
    refuse("aggregate: expected 'window' for a forecaster (horizon=" +
           std::to_string(model.horizon) + "); 'last' and 'mean' are an autoencoder's");
  }
  check_reduction(model, options.reduction);
  if (whitens(options.reduction) && options.per_feature) {
    refuse("per_feature: expected False with reduction 'mahalanobis'");
  }
  const WindowPlan plan = window_plan(model, series, offsets, options.stride);
  require_pointer(out, series.rows, "out");
  if (carries(options.windows)) {
    check_carried(model, options.stride);
    carried_scores(model, series, plan, options, nullptr, out, nullptr);
  } else {
    score_windows(model, series, plan, options, out);
  }
}

void SequenceModel::predict(const SeriesView& series, const WindowPlan& plan, float* out,
                            int num_threads) const {
  check_plan(impl_->parts, series, plan);
  require_pointer(out, plan.size(), "out");
  predict_windows(impl_->parts, series, plan, num_threads, out);
}

void SequenceModel::predict_log_variance(const SeriesView& series, const WindowPlan& plan,
                                         float* out, int num_threads) const {
  check_plan(impl_->parts, series, plan);
  if (!impl_->parts.gaussian) {
    refuse("predict_log_variance: the model predicts no variances (metadata 'distribution')");
  }
  require_pointer(out, plan.size(), "out");
  predict_log_variances(impl_->parts, series, plan, num_threads, out);
}

void SequenceModel::encode(const SeriesView& series, const WindowPlan& plan, float* out,
                           int num_threads) const {
  check_plan(impl_->parts, series, plan);
  require_pointer(out, plan.size(), "out");
  encode_windows(impl_->parts, series, plan, num_threads, out);
}

KernelPlan SequenceModel::plan(Precision precision, int num_threads, Kernel kernel) const {
  const KernelChoice choice = choose_kernel(active_kernels(), impl_->parts, precision, kernel);
  const KernelTable& kernels = *choice.kernels;
  KernelPlan plan;
  plan.isa = kernels.isa;
  plan.kernel = choice.kernel;
  plan.precision = name_of(choice.precision);
  plan.tile = tile_vectors(kernels, impl_->parts, choice) * kernels.lanes;
  plan.threads = resolve_threads(num_threads);
  return plan;
}

}  // namespace slidecell
