#include "slidecell/model.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "arithmetic.h"
#include "model_impl.h"
#include "score.h"
#include "slidecell/error.hpp"

namespace slidecell {

namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

void check_series(const ModelParts& model, const SeriesView& series) {
  if (series.cols != model.input_size()) {
    const std::string F = std::to_string(model.input_size());
    refuse("series: expected [S, " + F + "] (model input_size=" + F + "), got [" +
           std::to_string(series.rows) + ", " + std::to_string(series.cols) + "]");
  }
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

}  // namespace

SequenceModel::SequenceModel(const std::string& metadata, const TensorMap& tensors)
    : impl_(new Impl{read_model_parts(metadata, tensors)}) {}

SequenceModel SequenceModel::load(const std::string& path) {
  const ModelFile file = read_model_file(path);
  try {
    return SequenceModel(file.metadata, file.tensors);
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(path + ": " + e.what());
  }
}

SequenceModel::~SequenceModel() = default;
SequenceModel::SequenceModel(SequenceModel&&) noexcept = default;
SequenceModel& SequenceModel::operator=(SequenceModel&&) noexcept = default;

std::int64_t SequenceModel::input_size() const { return impl_->parts.input_size(); }
std::int64_t SequenceModel::window() const { return impl_->parts.window; }
std::int64_t SequenceModel::horizon() const { return impl_->parts.horizon; }
std::int64_t SequenceModel::num_targets() const { return impl_->parts.num_targets(); }
std::int64_t SequenceModel::code_size() const { return impl_->parts.encoder->output_size(); }

void SequenceModel::score(const SeriesView& series, Span<const std::int64_t> offsets, float* out,
                          const ScoreOptions& options) const {
  const ModelParts& model = impl_->parts;
  check_series(model, series);
  if (options.aggregate != Aggregate::window && model.forecasts()) {
    refuse("aggregate: expected 'window' for a forecaster (horizon=" +
           std::to_string(model.horizon) + "); 'last' and 'mean' are an autoencoder's");
  }
  if (options.reduction == Reduction::mahalanobis) {
    if (!model.whiten) {
      refuse(
          "reduction: 'mahalanobis' needs error statistics, but the model has none: call "
          "fit_error on held-out normal rows first");
    }
    if (options.per_feature) refuse("per_feature: expected False with reduction 'mahalanobis'");
  }
  const std::int64_t one_entity[] = {0, series.rows};
  if (offsets.empty()) offsets = {one_entity, 2};
  std::vector<std::int64_t> bounds(offsets.begin(), offsets.end());
  const WindowPlan plan(std::move(bounds), model.window, model.horizon, options.stride);
  check_plan(model, series, plan);
  score_windows(model, series, plan, options, out);
}

void SequenceModel::predict(const SeriesView& series, const WindowPlan& plan, float* out,
                            int num_threads) const {
  check_plan(impl_->parts, series, plan);
  predict_windows(impl_->parts, series, plan, num_threads, out);
}

void SequenceModel::encode(const SeriesView& series, const WindowPlan& plan, float* out,
                           int num_threads) const {
  check_plan(impl_->parts, series, plan);
  encode_windows(impl_->parts, series, plan, num_threads, out);
}

Decision SequenceModel::decision() const {
  const ModelParts& model = impl_->parts;
  Decision decision{std::numeric_limits<double>::quiet_NaN(), 0.0, 0};
  if (!model.threshold.empty()) {
    if (std::isnan(model.threshold_value)) {
      throw UnsupportedError("threshold: expected one with a fixed value, got '" + model.threshold +
                             "', which moves with the scores");
    }
    decision.threshold = model.threshold_value;
  }
  if (model.smoothing == "ewma") {
    if (!(model.smoothing_value > 0.0 && model.smoothing_value <= 1.0)) {
      refuse("metadata: 'alpha': expected 0 < alpha <= 1, got " +
             std::to_string(model.smoothing_value));
    }
    decision.ewma_alpha = model.smoothing_value;
  } else if (model.smoothing == "moving_average") {
    decision.moving_average = static_cast<std::int64_t>(model.smoothing_value);
  } else if (!model.smoothing.empty()) {
    throw UnsupportedError("smoothing: expected 'ewma' or 'moving_average', got '" +
                           model.smoothing + "'");
  }
  return decision;
}

KernelPlan SequenceModel::plan(Precision precision, int num_threads, Kernel kernel) const {
  static constexpr const char* kPrecisions[] = {"highest", "high", "medium"};
  const KernelTable& kernels = active_kernels();
  const Arithmetic arithmetic = choose_arithmetic(kernels, impl_->parts, precision, kernel);
  KernelPlan plan;
  plan.isa = kernels.isa;
  plan.kernel = arithmetic.kernel;
  plan.precision = kPrecisions[static_cast<std::size_t>(arithmetic.precision)];
  plan.tile = tile_vectors(kernels, impl_->parts, arithmetic) * kernels.lanes;
  plan.threads = resolve_threads(num_threads);
  return plan;
}

}  // namespace slidecell
