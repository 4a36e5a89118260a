#include "score/error_sum.h"

#include <cstring>
#include <stdexcept>

#include "score/option_rules.h"

namespace slidecell {

double error_divisor(const ModelParts& model, Reduction reduction, bool per_feature,
                     std::int64_t rows) {
  if (whitens(reduction)) {
    return model.forecasts() ? 1.0 : static_cast<double>(rows);
  }
  const std::int64_t errors = per_feature ? rows : rows * model.num_targets();
  return static_cast<double>(takes_variance(reduction) ? 2 * errors : errors);
}

void check_reduction(const ModelParts& model, Reduction reduction) {
  const auto refuse = [](const char* text) { throw std::invalid_argument(text); };
  switch (reduction) {
    case Reduction::mse:
    case Reduction::mae:
      break;
    case Reduction::mahalanobis:
      if (model.whiten) break;
      refuse(
          "reduction: 'mahalanobis' needs error statistics, but the model has none: call "
          "fit_error on held-out normal rows first");
      break;
    case Reduction::nll:
      if (model.gaussian) break;
      refuse(
          "reduction: 'nll' needs predicted variances, but the model has none: its head gives log "
          "variances beside the means where the metadata's 'distribution' is 'gaussian'");
      break;
    case Reduction::calibrated:
      if (!model.forecasts()) {
        refuse("reduction: 'calibrated' needs a forecaster, but the model is an autoencoder");
      }
      if (!model.scaler()) {
        refuse(
            "reduction: 'calibrated' needs a model with a scaler, for its least spread is one of "
            "scaled errors, but the model has none");
      }
      if (model.slope.empty()) {
        refuse(
            "reduction: 'calibrated' needs error statistics, but the model has none: call "
            "fit_error on normal rows first");
      }
      break;
  }
}

ErrorSum::ErrorSum(const ModelParts& model, const KernelTable& kernels, Reduction reduction,
                   bool per_feature, std::ptrdiff_t stride)
    : model_(model),
      kernels_(kernels),
      reduction_(reduction),
      values_(per_feature ? model.num_targets() : 1),
      stride_(stride) {
  if (whitens(reduction)) {
    errors_.reset(model.whiten->depth() * stride);
    whitened_.reset(model.whiten->rows() * stride);
  }
}

void ErrorSum::clear(float* sums) {
  std::memset(sums, 0, static_cast<std::size_t>(values_ * stride_) * sizeof(float));
}

void ErrorSum::add(WindowTile& tile, std::int64_t row, const float* pred, float* sums) {
  const std::int32_t* col = tile.columns(model_.first_predicted_row() + row);
  add(TrueColumns{tile.x(), tile.stride(), col, tile.size()}, row, pred, sums);
}

void ErrorSum::add(const TrueColumns& truth, std::int64_t row, const float* pred, float* sums) {
  ErrorColumns a{};
  a.pred = pred;
  a.rows = model_.num_targets();
  a.vectors = truth.vectors;
  a.truth = truth.x;
  a.truth_stride = truth.stride;
  a.truth_row = model_.targets.data();
  a.truth_col = truth.col;
  a.stride = stride_;
  a.acc = sums;
  a.acc_stride = values_ == 1 ? 0 : stride_;
  switch (reduction_) {
    case Reduction::mse:
      kernels_.add_squared_error(a);
      break;
    case Reduction::mae:
      kernels_.add_absolute_error(a);
      break;
    case Reduction::nll:
      a.log_variance = pred + model_.head_size() * stride_;
      kernels_.add_gaussian_error(a);
      break;
    case Reduction::calibrated:
      a.slope = model_.slope.data() + row * a.rows;
      a.intercept = model_.intercept.data() + row * a.rows;
      kernels_.add_calibrated_error(a);
      break;
    case Reduction::mahalanobis:
      // A forecast's K rows form one error vector, a reconstruction's rows one each.
      a.acc = errors_.data() + (model_.forecasts() ? row * a.rows * stride_ : 0);
      a.acc_stride = stride_;
      kernels_.subtract(a);
      if (!model_.forecasts() || row + 1 == model_.horizon) add_distance(a.vectors, sums);
      break;
  }
}

// The squared norm of whiten (error - mean).
void ErrorSum::add_distance(std::int64_t vectors, float* sums) {
  project_columns(kernels_, model_.whiten->packed(kernels_), errors_.data(), stride_,
                  whitened_.data(), stride_, vectors);
  ErrorColumns a{};
  a.pred = whitened_.data();
  a.rows = model_.whiten->rows();
  a.vectors = vectors;
  a.stride = stride_;
  a.acc = sums;
  kernels_.add_squared_error(a);
}

}  // namespace slidecell
