#include "model/read_head.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace slidecell {
namespace {

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

}  // namespace

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

}  // namespace slidecell
