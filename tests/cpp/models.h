// Random small models for the tests of scores and streams, as a model file has them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "slidecell/model.hpp"

namespace slidecell::test {

using Floats = std::vector<float>;

// Bit for bit; any NaN equals any other.
inline bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}
inline bool same(const Floats& a, const Floats& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) return false;
  }
  return true;
}

constexpr std::int64_t kAllRows = -1;

struct HeadSpec {
  std::int64_t output_size;  // kAllRows: as many as the model predicts; 0: the activation alone
  std::string activation = "linear";
  double slope = 0.0;  // of leaky_relu
};

struct ModelSpec {
  std::int64_t window = 5;
  std::int64_t horizon = 1;                 // 0: autoencoder, with a decoder
  std::vector<LayerSpec> encoder, decoder;  // input sizes above the bottom are filled in
  std::vector<HeadSpec> head;               // empty: one product
  bool gaussian = false;                    // with log variances
  std::vector<std::int64_t> targets;        // empty: all
  std::vector<double> center, scale;        // empty: no scaler
  bool error = false;                       // with error statistics
  bool bias = true;
  double gain = 1.0;  // of the weights, on torch's initialisation
};

// Whether the model has calibrated errors: forecasters with error statistics and a scaler.
inline bool calibrated(const ModelSpec& spec) {
  return spec.error && spec.horizon > 0 && !spec.center.empty();
}

namespace detail {

inline Tensor random_tensor(std::vector<std::int64_t> shape, double bound, std::mt19937& rng) {
  std::uniform_real_distribution<double> uniform(-bound, bound);
  Tensor tensor;
  std::int64_t size = 1;
  for (const std::int64_t n : shape) size *= n;
  tensor.shape = std::move(shape);
  for (std::int64_t i = 0; i < size; ++i) tensor.data.push_back(static_cast<float>(uniform(rng)));
  return tensor;
}

inline std::string number(std::int64_t value) { return std::to_string(value); }
inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

template <class T>
std::string list(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? "," : "") + number(value);
  return text + "]";
}

inline std::string layer_json(const LayerSpec& s) {
  static constexpr const char* kActivations[] = {"tanh", "relu", "sigmoid", "linear"};
  static constexpr const char* kGates[] = {"sigmoid", "hard_sigmoid"};
  const auto flag = [](bool b) { return std::string(b ? "true" : "false"); };
  std::string cell;
  for (const auto& [name, value] : cells_by_name()) {
    if (value == s.cell) cell = name;
  }
  return std::string(R"({"cell":")") + cell + R"(","input_size":)" + std::to_string(s.input_size) +
         R"(,"hidden_size":)" + std::to_string(s.hidden_size) + R"(,"proj_size":)" +
         std::to_string(s.proj_size) + R"(,"bidirectional":)" + flag(s.bidirectional) +
         R"(,"activation":")" + kActivations[static_cast<std::size_t>(s.activation)] +
         R"(","recurrent_activation":")" +
         kGates[static_cast<std::size_t>(s.recurrent_activation)] + R"(","reset_after":)" +
         flag(s.reset_after) + "}";
}

// Adds the layers' tensors; returns their JSON.
inline std::string add_stack(const std::string& name, std::vector<LayerSpec> specs,
                             const ModelSpec& model, std::mt19937& rng, TensorMap& tensors) {
  std::string json = "[";
  for (std::size_t l = 0; l < specs.size(); ++l) {
    LayerSpec& s = specs[l];
    if (l > 0) s.input_size = specs[l - 1].output_size();
    json += (l > 0 ? "," : "") + layer_json(s);
    const double bound = model.gain / std::sqrt(static_cast<double>(s.hidden_size));
    const std::int64_t rows = s.gates() * s.hidden_size;
    for (std::int64_t d = 0; d < s.directions(); ++d) {
      const auto add = [&](const char* what, std::vector<std::int64_t> shape) {
        const std::string tensor = name + "." + std::to_string(l) + "." + what + "_l0";
        tensors[tensor + (d == 1 ? "_reverse" : "")] = random_tensor(std::move(shape), bound, rng);
      };
      add("weight_ih", {rows, s.input_size});
      add("weight_hh", {rows, s.state_size()});
      if (model.bias) add("bias_ih", {rows});
      if (model.bias) add("bias_hh", {rows});
      if (s.proj_size > 0) add("weight_hr", {s.proj_size, s.hidden_size});
    }
  }
  return json + "]";
}

// Adds the head's tensors; returns its JSON. rows: what it predicts; depth: what it reads.
inline std::string add_head(const ModelSpec& model, std::int64_t rows, std::int64_t depth,
                            std::mt19937& rng, TensorMap& tensors) {
  const auto add = [&](const std::string& name, std::int64_t size) {
    const double bound = model.gain / std::sqrt(static_cast<double>(depth));
    tensors[name + ".weight"] = random_tensor({size, depth}, bound, rng);
    if (model.bias) tensors[name + ".bias"] = random_tensor({size}, bound, rng);
    depth = size;
  };
  if (model.head.empty()) {
    add("head", rows);
    return "null";
  }
  std::string json = "[";
  for (std::size_t n = 0; n < model.head.size(); ++n) {
    const HeadSpec& layer = model.head[n];
    json += (n > 0 ? "," : "") + std::string(R"({"activation":")") + layer.activation + R"(")";
    if (layer.activation == "leaky_relu") json += R"(,"slope":)" + number(layer.slope);
    if (layer.output_size != 0) {
      const std::int64_t size = layer.output_size == kAllRows ? rows : layer.output_size;
      json += R"(,"output_size":)" + number(size);
      add("head." + std::to_string(n), size);
    }
    json += "}";
  }
  return json + "]";
}

}  // namespace detail

inline ModelFile random_file(ModelSpec spec, std::mt19937& rng) {
  using detail::list;
  if (!spec.decoder.empty()) {
    spec.decoder.front().input_size = spec.encoder.back().output_size();
  }
  ModelFile file;
  const std::int64_t features = spec.encoder.front().input_size;
  const std::string encoder = detail::add_stack("encoder", spec.encoder, spec, rng, file.tensors);
  const std::string decoder = detail::add_stack("decoder", spec.decoder, spec, rng, file.tensors);
  const auto targets =
      spec.targets.empty() ? features : static_cast<std::int64_t>(spec.targets.size());
  const std::int64_t rows = targets * std::max<std::int64_t>(1, spec.horizon);
  const LayerSpec& top = (spec.decoder.empty() ? spec.encoder : spec.decoder).back();
  const std::string head =
      detail::add_head(spec, spec.gaussian ? 2 * rows : rows, top.output_size(), rng, file.tensors);
  const std::string more = head == "null" && !spec.gaussian
                               ? std::string(calibrated(spec) ? R"("format":2)" : R"("format":1)")
                               : R"("format":2,"head":)" + head + R"(,"distribution":)" +
                                     (spec.gaussian ? R"("gaussian")" : "null");

  std::string error = "null";
  if (spec.error) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    std::vector<double> numbers(static_cast<std::size_t>(rows));
    std::string whiten;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (double& number : numbers) number = uniform(rng);
      whiten += (r > 0 ? "," : "") + list(numbers);
    }
    error = R"({"mean":)" + list(numbers) + R"(,"whiten":[)" + whiten + "]";
    if (calibrated(spec)) {
      std::uniform_real_distribution<double> slope(0.5, 20.0);
      for (double& number : numbers) number = slope(rng);
      error += R"(,"slope":)" + list(numbers);
      for (double& number : numbers) number = -5.0 * (1.0 + uniform(rng));
      error += R"(,"intercept":)" + list(numbers);
    }
    error += "}";
  }
  const std::string scaler = spec.center.empty()
                                 ? "null"
                                 : R"({"kind":"standard","center":)" + list(spec.center) +
                                       R"(,"scale":)" + list(spec.scale) + R"(,"constant":[]})";
  file.metadata = "{" + more + R"(,"window":)" + std::to_string(spec.window) + R"(,"horizon":)" +
                  std::to_string(spec.horizon) + R"(,"encoder":)" + encoder + R"(,"decoder":)" +
                  decoder + R"(,"features":null,"targets":)" +
                  (spec.targets.empty() ? "null" : list(spec.targets)) + R"(,"scaler":)" + scaler +
                  R"(,"error":)" + error + R"(,"smoothing":null,"threshold":null,"extra":{}})";
  return file;
}

inline SequenceModel random_model(const ModelSpec& spec, std::mt19937& rng) {
  const ModelFile file = random_file(spec, rng);
  return {file.metadata, file.tensors};
}

// Any cell, any activation, sizes around those of a vector.
inline LayerSpec random_layer(std::int64_t input_size, std::mt19937& rng) {
  const std::vector<std::int64_t> sizes = {1, 2, 3, 5, 8, 9, 15, 16, 17, 33};
  LayerSpec s;
  s.cell = cells_by_name()[rng() % cells_by_name().size()].second;
  s.input_size = input_size;
  s.hidden_size = sizes[rng() % sizes.size()];
  s.proj_size = s.cell == Cell::lstm && rng() % 3 == 0 ? s.hidden_size / 2 : 0;
  s.bidirectional = rng() % 5 == 0;
  s.activation = rng() % 2 == 0 ? Activation::tanh : static_cast<Activation>(rng() % 4);
  s.recurrent_activation = static_cast<RecurrentActivation>(rng() % 2);
  s.reset_after = rng() % 2 == 0;
  return s;
}

inline ModelSpec random_spec(std::mt19937& rng) {
  ModelSpec spec;
  const std::vector<std::int64_t> windows = {1, 2, 3, 7, 16, 17, 20};
  const auto features = static_cast<std::int64_t>(1 + rng() % 9);
  spec.window = windows[rng() % windows.size()];
  spec.horizon = static_cast<std::int64_t>(rng() % 4);
  const std::size_t layers = 1 + rng() % 3;
  for (std::size_t l = 0; l < layers; ++l) spec.encoder.push_back(random_layer(features, rng));
  if (spec.horizon == 0) {
    for (std::size_t l = 0; l < 1 + rng() % 2; ++l) spec.decoder.push_back(random_layer(1, rng));
  }
  if (rng() % 3 == 0) {
    for (std::int64_t f = features - 1; f >= 0; f -= 2) spec.targets.push_back(f);
  }
  if (rng() % 2 == 0) {
    for (std::int64_t f = 0; f < features; ++f) {
      spec.center.push_back(0.25 * static_cast<double>(f));
      spec.scale.push_back(0.5 + static_cast<double>(f));
    }
  }
  spec.error = rng() % 3 == 0;
  return spec;
}

}  // namespace slidecell::test
