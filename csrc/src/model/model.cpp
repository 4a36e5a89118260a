#include "slidecell/model.hpp"

#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/model_impl.h"
#include "slidecell/error.hpp"

namespace slidecell {

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
const std::vector<std::string>& SequenceModel::features() const { return impl_->parts.features; }
std::optional<Reduction> SequenceModel::reduction() const { return impl_->parts.reduction; }

Decision SequenceModel::decision() const {
  const ModelParts& model = impl_->parts;
  Decision decision{std::numeric_limits<double>::quiet_NaN(), 0.0, 0, 0, model.reduction};
  if (!model.threshold.empty()) {
    if (std::isnan(model.threshold_value)) {
      throw UnsupportedError("threshold: expected one with a fixed value, got '" + model.threshold +
                             "', which moves with the scores");
    }
    decision.threshold = model.threshold_value;
  }
  if (model.smoothing == "ewma") {
    if (!(model.smoothing_value > 0.0 && model.smoothing_value <= 1.0)) {
      throw std::invalid_argument("metadata: 'alpha': expected 0 < alpha <= 1, got " +
                                  std::to_string(model.smoothing_value));
    }
    decision.ewma_alpha = model.smoothing_value;
  } else if (model.smoothing == "moving_average") {
    decision.moving_average = static_cast<std::int64_t>(model.smoothing_value);
  } else if (model.smoothing == "trailing_mean") {
    decision.trailing_mean = static_cast<std::int64_t>(model.smoothing_value);
  } else if (!model.smoothing.empty()) {
    throw UnsupportedError(
        "smoothing: expected 'ewma', 'moving_average' or 'trailing_mean', got '" + model.smoothing +
        "'");
  }
  return decision;
}

}  // namespace slidecell
