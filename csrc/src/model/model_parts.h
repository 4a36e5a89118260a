// What a model file says, checked: the stacks, the head and all that surrounds them.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "slidecell/model.hpp"
#include "weights/head.h"
#include "weights/linear.h"
#include "weights/stack.h"
#include "windows/cast_rows.h"

namespace slidecell {

struct ModelParts {
  std::int64_t window = 0;
  std::int64_t horizon = 0;  // 0: autoencoder
  std::unique_ptr<Stack> encoder;
  std::unique_ptr<Stack> decoder;     // autoencoders only
  std::unique_ptr<Head> head;         // code -> K*T, or decoder output -> T; twice if gaussian
  bool gaussian = false;              // the head's second half are log variances
  std::vector<std::int32_t> targets;  // [T] columns that the head predicts
  std::vector<std::string> features;  // [F] names, or empty: not known
  std::vector<double> center, scale;  // [F] or empty: no scaler
  std::unique_ptr<Linear> whiten;     // error statistics: z = whiten (error - mean); or null
  // Error statistics: z = max(slope |error| + intercept, 0); [K*T], or empty: not known.
  std::vector<float> slope, intercept;
  std::uint64_t fingerprint = 0;       // of all that decides what the model computes
  std::optional<Reduction> reduction;  // of the scores that are judged; none: not said
  std::string threshold, smoothing;    // their kinds; empty: none
  double threshold_value = 0;          // of the kinds that have one
  double smoothing_value = 0;          // alpha or n
  std::int64_t input_size() const { return encoder->input_size(); }
  std::int64_t num_targets() const { return static_cast<std::int64_t>(targets.size()); }
  bool forecasts() const { return horizon > 0; }
  // Rows that the head predicts for one window, and where the first of them stands in it.
  std::int64_t predicted_rows() const { return forecasts() ? horizon : window; }
  std::int64_t first_predicted_row() const { return forecasts() ? window : 0; }
  // Numbers that the head predicts at once; log variances follow them where there are any.
  std::int64_t head_size() const { return num_targets() * (forecasts() ? horizon : 1); }
  // A prediction of target number `target` in raw units.
  float raw(std::int64_t target, float scaled) const {
    if (center.empty()) return scaled;
    const auto f = static_cast<std::size_t>(targets[static_cast<std::size_t>(target)]);
    return static_cast<float>(static_cast<double>(scaled) * scale[f] + center[f]);
  }
  // A log variance of it, likewise.
  float raw_log_variance(std::int64_t target, float scaled) const {
    if (center.empty()) return scaled;
    const auto f = static_cast<std::size_t>(targets[static_cast<std::size_t>(target)]);
    return static_cast<float>(static_cast<double>(scaled) + 2.0 * std::log(std::abs(scale[f])));
  }
  // The scaler for cast_rows, or null.
  const ColumnScaler* scaler() const { return center.empty() ? nullptr : &column_scaler; }
  ColumnScaler column_scaler;
};

// Throws std::invalid_argument with the key or tensor at fault.
ModelParts read_model_parts(const std::string& metadata, const TensorMap& tensors);

}  // namespace slidecell
