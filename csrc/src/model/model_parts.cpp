#include "model/model_parts.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>

#include "model/fnv.h"
#include "model/json.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

std::string short_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// 1, or 2 where a file holds what the first version would overlook: a head of several layers, or
// what its numbers are besides predictions.
constexpr std::int64_t kNewestFormat = 2;
constexpr std::int64_t kMaxWindow = std::int64_t{1} << 30;

// The value of a key that a file may lack: null where it does.
const Json& optional(const Json& object, const char* key) {
  static const Json null;
  const Json* value = object.find(key);
  return value ? *value : null;
}

template <class Enum>
Enum choose(const Json& object, const char* key,
            const std::vector<std::pair<const char*, Enum>>& choices) {
  const std::string& value = object.at(key).as_string(key);
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (value == name) return choice;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(std::string("metadata: '") + key + "': expected one of " + names + ", got '" + value +
         "'");
}

std::int64_t integer(const Json& object, const char* key, std::int64_t least, std::int64_t most) {
  const std::int64_t value = object.at(key).as_int(key);
  if (value < least || value > most) {
    refuse(std::string("metadata: '") + key + "': expected " + std::to_string(least) + " to " +
           std::to_string(most) + ", got " + std::to_string(value));
  }
  return value;
}

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

// Hands out tensors by name and remembers which were asked for.
class Tensors {
 public:
  explicit Tensors(const TensorMap& map) : map_(map) {}

  const Tensor* find(const std::string& name) {
    const auto found = map_.find(name);
    if (found == map_.end()) return nullptr;
    used_.insert(name);
    return &found->second;
  }

  // Empty if `optional` and absent. The shape is checked.
  Span<const float> get(const std::string& name, const std::vector<std::int64_t>& shape,
                        bool optional) {
    const Tensor* tensor = find(name);
    if (!tensor) {
      if (optional) return {};
      refuse("tensor '" + name + "': missing");
    }
    std::size_t size = 1;
    for (const std::int64_t n : shape) size *= static_cast<std::size_t>(n);
    if (tensor->shape != shape || tensor->data.size() != size) {
      refuse("tensor '" + name + "': expected shape " + text(shape) + ", got " +
             text(tensor->shape));
    }
    for (const float value : tensor->data) {
      if (!std::isfinite(value))
        refuse("tensor '" + name + "': expected finite values, got NaN or infinity");
    }
    return tensor->data;
  }

  void check_all_used() const {
    for (const auto& entry : map_) {
      if (!used_.count(entry.first)) refuse("tensor '" + entry.first + "': not expected");
    }
  }

 private:
  static std::string text(const std::vector<std::int64_t>& shape) {
    std::string s = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
      s += (i ? ", " : "") + std::to_string(shape[i]);
    }
    return s + "]";
  }
  const TensorMap& map_;
  std::set<std::string> used_;
};

constexpr std::int64_t kMaxLayerSize = std::int64_t{1} << 20;

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

std::vector<double> read_numbers(const Json& json, const char* key, std::int64_t expected) {
  std::vector<double> values;
  for (const Json& value : json.at(key).as_array(key)) values.push_back(value.as_double(key));
  if (static_cast<std::int64_t>(values.size()) != expected) {
    refuse(std::string("metadata: '") + key + "': expected " + std::to_string(expected) +
           " numbers, got " + std::to_string(values.size()));
  }
  return values;
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

// A number that is computed with as float32. What float32 does not hold is refused: its products
// with 0 are NaN.
float as_float(double value, const char* key) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (!(std::abs(value) <= kLargest)) {
    refuse(std::string("metadata: '") + key + "': expected numbers that float32 holds, got " +
           short_text(value));
  }
  return static_cast<float>(value);
}

// z = whiten (error - mean) as a dense layer with bias -whiten mean.
std::unique_ptr<Linear> read_error(const Json& error, std::int64_t size) {
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

// Thresholds that move with the scores have no value; they are another program's matter.
void read_decision(const Json& json, ModelParts& parts) {
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
    } else if (parts.smoothing == "moving_average") {
      parts.smoothing_value = static_cast<double>(integer(smoothing, "n", 1, kMaxWindow));
    }
  }
}

// The tensors `name`.weight and `name`.bias.
std::unique_ptr<Linear> read_linear(const std::string& name, std::int64_t rows, std::int64_t depth,
                                    Tensors& tensors) {
  const Span<const float> w = tensors.get(name + ".weight", {rows, depth}, false);
  const Span<const float> b = tensors.get(name + ".bias", {rows}, true);
  std::vector<float> bias(b.begin(), b.end());
  bias.resize(static_cast<std::size_t>(rows), 0.0f);
  return std::make_unique<Linear>(rows, depth, std::vector<float>(w.begin(), w.end()),
                                  std::move(bias));
}

// Whether the head predicts log variances too.
bool read_distribution(const Json& json, const ModelParts& parts) {
  if (json.is_null()) return false;
  const std::string& name = json.as_string("distribution");
  if (name != "gaussian") {
    refuse("metadata: 'distribution': expected 'gaussian' or null, got '" + name + "'");
  }
  if (!parts.forecasts()) {
    refuse("metadata: 'distribution': expected null for an autoencoder, got 'gaussian'");
  }
  return true;
}

constexpr std::int64_t kMaxHeadProducts = 4;
constexpr std::size_t kMaxHeadLayers = 8;

// Layer number `n` of a head; `size`: the numbers that it reads, then those that it gives.
HeadLayer read_head_layer(const Json& json, std::size_t n, std::int64_t& size, Tensors& tensors) {
  HeadLayer layer;
  layer.activation = choose<HeadActivation>(json, "activation", head_activations_by_name());
  const Json& slope = optional(json, "slope");
  if ((layer.activation == HeadActivation::leaky_relu) == slope.is_null()) {
    refuse("metadata: 'slope': expected one for 'leaky_relu', and only there, in layer " +
           std::to_string(n) + " of 'head'");
  }
  if (!slope.is_null()) layer.slope = as_float(slope.as_double("slope"), "slope");
  if (!optional(json, "output_size").is_null()) {
    const std::int64_t rows = integer(json, "output_size", 1, kMaxLayerSize);
    layer.linear = read_linear("head." + std::to_string(n), rows, size, tensors);
    size = rows;
  }
  return layer;
}

// Checks a list of layers before any tensor is read. rows: what the last of them must give.
void check_head_layers(const Json::Array& layers, const ModelParts& parts, std::int64_t rows) {
  std::int64_t products = 0, last = 0;
  for (const Json& layer : layers) {
    if (optional(layer, "output_size").is_null()) continue;
    last = integer(layer, "output_size", 1, kMaxLayerSize);
    ++products;
  }
  if (products < 1 || products > kMaxHeadProducts || layers.size() > kMaxHeadLayers) {
    refuse("metadata: 'head': expected 1 to " + std::to_string(kMaxHeadProducts) +
           " layers with output_size and at most " + std::to_string(kMaxHeadLayers) +
           " in all, got " + std::to_string(products) + " of " + std::to_string(layers.size()));
  }
  if (last != rows) {
    refuse("metadata: 'head': expected the last output_size to be " + std::to_string(rows) +
           (parts.gaussian ? " (means and log variances of " : " (") +
           (parts.forecasts() ? "horizon * targets" : "targets") + "), got " +
           std::to_string(last));
  }
}

std::unique_ptr<Head> read_head(const ModelParts& parts, const Json& json, Tensors& tensors) {
  const std::int64_t depth = (parts.decoder ? *parts.decoder : *parts.encoder).output_size();
  const std::int64_t rows = parts.head_size() * (parts.gaussian ? 2 : 1);
  std::vector<HeadLayer> layers;
  if (json.is_null()) {
    layers.emplace_back();
    layers.back().linear = read_linear("head", rows, depth, tensors);
    return std::make_unique<Head>(depth, std::move(layers));
  }
  const Json::Array& given = json.as_array("head");
  check_head_layers(given, parts, rows);
  std::int64_t size = depth;
  for (const Json& layer : given) {
    layers.push_back(read_head_layer(layer, layers.size(), size, tensors));
  }
  return std::make_unique<Head>(depth, std::move(layers));
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

// The format that a file's keys need.
std::int64_t needed_format(const Json& json) {
  const bool plain = optional(json, "head").is_null() && optional(json, "distribution").is_null();
  return plain ? 1 : kNewestFormat;
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
           " with 'head' or 'distribution', got " + std::to_string(format));
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
    parts.whiten = read_error(error, parts.head_size());
  }
  read_decision(json, parts);
  parts.fingerprint = fingerprint(parts, json, tensor_map);
  return parts;
}

}  // namespace slidecell
