#include "model/model_parts.h"

#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "model/fnv.h"
#include "model/json.h"
#include "model/json_fields.h"
#include "model/read_head.h"
#include "model/tensors.h"

namespace slidecell {
namespace {

// The first, and the one of files that hold what it would overlook (see needed_format).
constexpr std::int64_t kPlainFormat = 1, kNewestFormat = 2;
constexpr std::int64_t kMaxWindow = std::int64_t{1} << 30;

LayerSpec read_layer(const Json& json) {
  LayerSpec spec;
  spec.cell = choose<Cell>(json, "cell", cells_by_name());
  spec.input_size = json.at("input_size").as_int("input_size");
  spec.hidden_size = json.at("hidden_size").as_int("hidden_size");
  spec.proj_size = json.at("proj_size").as_int("proj_size");
  spec.bidirectional = json.at("bidirectional").as_bool("bidirectional");
  spec.activation = choose<Activation>(json, "activation", activations_by_name());
  spec.recurrent_activation =
      choose<RecurrentActivation>(json, "recurrent_activation", recurrent_activations_by_name());
  spec.reset_after = json.at("reset_after").as_bool("reset_after");
  return spec;
}

DirectionWeights read_direction(const LayerSpec& spec, const std::string& prefix,
                                const std::string& suffix, Tensors& tensors) {
  // Sizes are bounded before they are multiplied: they come from the file.
  for (const std::int64_t size : {spec.input_size, spec.hidden_size, spec.proj_size}) {
    if (size < 0 || size > kMaxLayerSize) {
      refuse("metadata: '" + prefix + "': sizes: expected 0 to " + std::to_string(kMaxLayerSize) +
             ", got " + std::to_string(size));
    }
  }
  const std::int64_t rows = spec.gates() * spec.hidden_size;
  const auto name = [&](const char* what) { return prefix + "." + what + "_l0" + suffix; };
  DirectionWeights w;
  w.w_ih = tensors.get(name("weight_ih"), {rows, spec.input_size}, false);
  w.w_hh = tensors.get(name("weight_hh"), {rows, spec.state_size()}, false);
  w.b_ih = tensors.get(name("bias_ih"), {rows}, true);
  w.b_hh = tensors.get(name("bias_hh"), {rows}, true);
  if (spec.proj_size > 0) {
    w.w_hr = tensors.get(name("weight_hr"), {spec.proj_size, spec.hidden_size}, false);
  }
  return w;
}

std::unique_ptr<Stack> read_stack(const Json& metadata, const char* key, Tensors& tensors) {
  std::vector<LayerSpec> specs;
  std::vector<LayerWeights> weights;
  for (const Json& json : metadata.at(key).as_array(key)) {
    const LayerSpec spec = read_layer(json);
    const std::string prefix = std::string(key) + "." + std::to_string(specs.size());
    LayerWeights layer;
    layer.forward = read_direction(spec, prefix, "", tensors);
    if (spec.bidirectional) layer.reverse = read_direction(spec, prefix, "_reverse", tensors);
    specs.push_back(spec);
    weights.push_back(layer);
  }
  return specs.empty() ? nullptr : std::make_unique<Stack>(key, std::move(specs), weights);
}

std::vector<std::int32_t> read_targets(const Json& metadata, std::int64_t features) {
  std::vector<std::int32_t> targets;
  const Json& json = optional(metadata, "targets");
  if (json.is_null()) {
    for (std::int64_t f = 0; f < features; ++f) targets.push_back(static_cast<std::int32_t>(f));
    return targets;
  }
  std::set<std::int64_t> seen;
  for (const Json& value : json.as_array("targets")) {
    const std::int64_t target = value.as_int("targets");
    if (target < 0 || target >= features || !seen.insert(target).second) {
      refuse("metadata: 'targets': expected distinct columns 0 to " + std::to_string(features - 1) +
             ", got " + std::to_string(target));
    }
    targets.push_back(static_cast<std::int32_t>(target));
  }
  if (targets.empty()) refuse("metadata: 'targets': expected at least one column");
  return targets;
}

// Empty where they are not known, and where a label is no text: a DataFrame may number its columns.
std::vector<std::string> read_features(const Json& json, std::int64_t expected) {
  std::vector<std::string> names;
  if (json.is_null()) return names;
  const Json::Array& labels = json.as_array("features");
  if (static_cast<std::int64_t>(labels.size()) != expected) {
    refuse("metadata: 'features': expected " + std::to_string(expected) + " names, got " +
           std::to_string(labels.size()));
  }
  for (const Json& label : labels) {
    if (!label.string()) return {};
    names.push_back(*label.string());
  }
  return names;
}

// z = whiten (error - mean) as a dense layer with bias -whiten mean.
std::unique_ptr<Linear> read_whitening(const Json& error, std::int64_t size) {
  const std::vector<double> mean = read_numbers(error, "mean", size);
  const auto& rows = error.at("whiten").as_array("whiten");
  if (static_cast<std::int64_t>(rows.size()) != size) {
    refuse("metadata: 'whiten': expected " + std::to_string(size) + " rows, got " +
           std::to_string(rows.size()));
  }
  std::vector<float> w, b;
  for (const Json& row : rows) {
    const auto& values = row.as_array("whiten");
    if (static_cast<std::int64_t>(values.size()) != size) {
      refuse("metadata: 'whiten': expected rows of " + std::to_string(size) + " numbers, got " +
             std::to_string(values.size()));
    }
    double bias = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double value = values[k].as_double("whiten");
      w.push_back(as_float(value, "whiten"));
      bias -= value * mean[k];
    }
    b.push_back(as_float(bias, "mean"));
  }
  return std::make_unique<Linear>(size, size, std::move(w), std::move(b));
}

// z = max(slope |error| + intercept, 0). A slope that float32 rounds to 0 or makes subnormal would
// turn an infinite error into NaN.
void read_calibration(const Json& error, std::int64_t size, ModelParts& parts) {
  for (const double value : read_numbers(error, "slope", size)) {
    if (!(value >= static_cast<double>(std::numeric_limits<float>::min()))) {
      refuse("metadata: 'slope': expected numbers above 0 that float32 holds, got " +
             short_text(value));
    }
    parts.slope.push_back(as_float(value, "slope"));
  }
  for (const double value : read_numbers(error, "intercept", size)) {
    parts.intercept.push_back(as_float(value, "intercept"));
  }
}

// What is known of the errors: their covariance, their calibration, or both.
void read_error(const Json& error, ModelParts& parts) {
  const std::int64_t size = parts.head_size();
  const bool calibrated = error.find("slope") || error.find("intercept");
  if (!calibrated || error.find("mean") || error.find("whiten")) {
    parts.whiten = read_whitening(error, size);
  }
  if (calibrated) read_calibration(error, size, parts);
}

// Thresholds that move with the scores have no value; they are another program's matter.
void read_decision(const Json& json, ModelParts& parts) {
  if (!optional(json, "reduction").is_null()) {
    parts.reduction = choose<Reduction>(json, "reduction",
                                        {{"mse", Reduction::mse},
                                         {"mae", Reduction::mae},
                                         {"mahalanobis", Reduction::mahalanobis},
                                         {"nll", Reduction::nll},
                                         {"calibrated", Reduction::calibrated}});
  }
  if (const Json& threshold = optional(json, "threshold"); !threshold.is_null()) {
    parts.threshold = threshold.at("kind").as_string("kind");
    const Json* value = threshold.find("value");
    parts.threshold_value =
        value ? value->as_double("value") : std::numeric_limits<double>::quiet_NaN();
  }
  if (const Json& smoothing = optional(json, "smoothing"); !smoothing.is_null()) {
    parts.smoothing = smoothing.at("kind").as_string("kind");
    if (parts.smoothing == "ewma") {
      parts.smoothing_value = smoothing.at("alpha").as_double("alpha");
    } else if (parts.smoothing == "moving_average" || parts.smoothing == "trailing_mean") {
      parts.smoothing_value = static_cast<double>(integer(smoothing, "n", 1, kMaxWindow));
    }
  }
}

// Weights, window, horizon, targets and scaler; not names, thresholds or what else goes with them.
std::uint64_t fingerprint(const ModelParts& parts, const Json& json, const TensorMap& tensors) {
  Fnv hash;
  hash.add(&parts.window, sizeof parts.window);
  hash.add(&parts.horizon, sizeof parts.horizon);
  hash.add(parts.targets.data(), parts.targets.size() * sizeof parts.targets[0]);
  hash.add(parts.center.data(), parts.center.size() * sizeof(double));
  hash.add(parts.scale.data(), parts.scale.size() * sizeof(double));
  for (const auto& [name, tensor] : tensors) {
    hash.add(name.data(), name.size());
    hash.add(tensor.data.data(), tensor.data.size() * sizeof(float));
  }
  for (const char* key : {"encoder", "decoder"}) {
    for (const Json& layer : json.at(key).as_array(key)) {
      const std::string& activation = layer.at("activation").as_string("activation");
      const std::string& gate = layer.at("recurrent_activation").as_string("recurrent_activation");
      const bool reset_after = layer.at("reset_after").as_bool("reset_after");
      hash.add(activation.data(), activation.size());
      hash.add(gate.data(), gate.size());
      hash.add(&reset_after, sizeof reset_after);
    }
  }
  // What plain heads do not have, so that theirs stays what it was.
  for (const HeadLayer& layer : parts.head->layers()) {
    if (optional(json, "head").is_null()) break;
    const bool product = layer.linear != nullptr;
    hash.add(&product, sizeof product);
    hash.add(&layer.activation, sizeof layer.activation);
    hash.add(&layer.slope, sizeof layer.slope);
  }
  if (parts.gaussian) hash.add("gaussian", 8);
  return hash.value();
}

// The format that a file's keys need: the second for other heads than one product, for calibrated
// errors, and for a named reduction, whose scores the threshold is for.
std::int64_t needed_format(const Json& json) {
  for (const char* key : {"head", "distribution", "reduction"}) {
    if (!optional(json, key).is_null()) return kNewestFormat;
  }
  const Json& error = optional(json, "error");
  return !error.is_null() && error.find("slope") ? kNewestFormat : kPlainFormat;
}

}  // namespace

ModelParts read_model_parts(const std::string& metadata, const TensorMap& tensor_map) {
  const Json json = Json::parse(metadata);
  const Json* given_format = json.find("format");
  const std::int64_t needed = needed_format(json);
  const std::int64_t format = given_format ? given_format->as_int("format") : needed;
  if (format < 1 || format > kNewestFormat) {
    refuse("metadata: 'format': expected 1 or 2, got " + std::to_string(format) +
           " (written by a newer slidecell?)");
  }
  if (format < needed) {
    refuse("metadata: 'format': expected " + std::to_string(needed) +
           " with 'head', 'distribution', 'reduction' or calibrated errors, got " +
           std::to_string(format));
  }
  Tensors tensors(tensor_map);
  ModelParts parts;
  parts.window = integer(json, "window", 1, kMaxWindow);
  parts.horizon = integer(json, "horizon", 0, kMaxWindow);
  parts.encoder = read_stack(json, "encoder", tensors);
  parts.decoder = read_stack(json, "decoder", tensors);
  if (!parts.encoder) refuse("metadata: 'encoder': expected at least one layer");
  if (parts.forecasts() == static_cast<bool>(parts.decoder)) {
    refuse("metadata: expected a decoder where horizon is 0, and only there");
  }
  if (parts.decoder && parts.decoder->input_size() != parts.encoder->output_size()) {
    refuse(
        "metadata: 'decoder': expected input_size=" + std::to_string(parts.encoder->output_size()) +
        " (the encoder's output), got " + std::to_string(parts.decoder->input_size()));
  }
  const std::int64_t F = parts.input_size();
  parts.targets = read_targets(json, F);
  parts.gaussian = read_distribution(optional(json, "distribution"), parts);
  parts.head = read_head(parts, optional(json, "head"), tensors);
  tensors.check_all_used();

  parts.features = read_features(optional(json, "features"), F);
  if (const Json& scaler = optional(json, "scaler"); !scaler.is_null()) {
    parts.center = read_numbers(scaler, "center", F);
    parts.scale = read_numbers(scaler, "scale", F);
    for (const double s : parts.scale) {
      if (!(std::abs(s) > 0)) refuse("metadata: 'scale': expected non-zero numbers, got 0");
      if (std::abs(s) < std::numeric_limits<double>::min()) {
        refuse("metadata: 'scale': expected numbers that 1 can be divided by, got " +
               short_text(s));
      }
    }
    parts.column_scaler = {parts.center.data(), parts.scale.data()};
  }
  if (const Json& error = optional(json, "error"); !error.is_null()) {
    read_error(error, parts);
  }
  read_decision(json, parts);
  parts.fingerprint = fingerprint(parts, json, tensor_map);
  return parts;
}

}  // namespace slidecell
