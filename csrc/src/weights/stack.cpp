#include "weights/stack.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "weights/cells.h"
#include "weights/pack_codes.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

// Sizes above this are refused: products of two of them still fit in 64 bits.
constexpr std::int64_t kMaxSize = std::int64_t{1} << 20;

void check_size(const std::string& what, std::int64_t value, std::int64_t least) {
  if (value < least || value > kMaxSize) {
    refuse(what + ": expected " + std::to_string(least) + " to " + std::to_string(kMaxSize) +
           ", got " + std::to_string(value));
  }
}

std::vector<float> copy_weights(const std::string& what, Span<const float> values,
                                std::int64_t expected) {
  if (static_cast<std::int64_t>(values.size()) != expected) {
    refuse(what + ": expected " + std::to_string(expected) + " values, got " +
           std::to_string(values.size()));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      refuse(what + ": expected finite values, got " + std::to_string(values[i]) +
             " at flat index " + std::to_string(i));
    }
  }
  return {values.begin(), values.end()};
}

}  // namespace

Stack::Stack(std::string name, std::vector<LayerSpec> specs,
             const std::vector<LayerWeights>& weights)
    : specs_(std::move(specs)) {
  check(name);
  if (weights.size() != specs_.size()) {
    refuse(name + ": expected weights of " + std::to_string(specs_.size()) + " layers, got " +
           std::to_string(weights.size()));
  }
  for (std::size_t l = 0; l < specs_.size(); ++l) {
    const std::string layer = name + "." + std::to_string(l);
    adopt(layer, specs_[l], weights[l].forward);
    if (specs_[l].bidirectional) adopt(layer + " reverse", specs_[l], weights[l].reverse);
  }
}

void Stack::check(const std::string& name) const {
  if (specs_.empty()) refuse(name + ": expected at least one layer");
  for (std::size_t l = 0; l < specs_.size(); ++l) {
    const LayerSpec& spec = specs_[l];
    const std::string layer = name + "." + std::to_string(l) + ": ";
    check_size(layer + "input_size", spec.input_size, 1);
    check_size(layer + "hidden_size", spec.hidden_size, 1);
    check_size(layer + "proj_size", spec.proj_size, 0);
    if (spec.proj_size > 0 && !traits_of(spec).has_projection) {
      refuse(layer + info_of(spec.cell).title + " has no proj_size");
    }
    if (spec.proj_size >= spec.hidden_size) {
      refuse(layer + "proj_size: expected less than hidden_size=" +
             std::to_string(spec.hidden_size) + ", got " + std::to_string(spec.proj_size));
    }
    if (l > 0 && spec.input_size != specs_[l - 1].output_size()) {
      refuse(layer + "input_size: expected " + std::to_string(specs_[l - 1].output_size()) +
             " (output of the layer below), got " + std::to_string(spec.input_size));
    }
  }
}

void Stack::adopt(const std::string& name, const LayerSpec& spec, const DirectionWeights& w) {
  const std::int64_t rows = spec.gates() * spec.hidden_size;
  OwnedDirection owned;
  owned.w_ih = copy_weights(name + " weight_ih", w.w_ih, rows * spec.input_size);
  owned.w_hh = copy_weights(name + " weight_hh", w.w_hh, rows * spec.state_size());
  if (!w.b_ih.empty()) owned.b_ih = copy_weights(name + " bias_ih", w.b_ih, rows);
  if (!w.b_hh.empty()) owned.b_hh = copy_weights(name + " bias_hh", w.b_hh, rows);
  owned.w_hr = copy_weights(name + " weight_hr", w.w_hr, spec.proj_size * spec.hidden_size);
  weights_.push_back(std::move(owned));
}

bool Stack::bidirectional() const {
  return std::any_of(specs_.begin(), specs_.end(),
                     [](const LayerSpec& spec) { return spec.bidirectional; });
}

const std::vector<PackedLayer>& Stack::packed(const KernelTable& kernels, Products products) const {
  const std::size_t form = static_cast<std::size_t>(products) * kMaxIsas + isa_index(kernels);
  std::call_once(once_[form], [&] {
    std::vector<PackedLayer> layers;
    auto next = weights_.begin();
    for (const LayerSpec& spec : specs_) {
      PackedLayer layer;
      for (std::int64_t d = 0; d < spec.directions(); ++d, ++next) {
        const DirectionWeights w{next->w_ih, next->w_hh, next->b_ih, next->b_hh, next->w_hr};
        layer.push_back(products == Products::float32
                            ? pack_direction(kernels, spec, w)
                            : pack_low_direction(kernels, spec, w, products));
      }
      layers.push_back(std::move(layer));
    }
    packed_[form] = std::move(layers);
  });
  return packed_[form];
}

const std::vector<PackedMatrixLayer>& Stack::packed_pairs(const KernelTable& kernels,
                                                          int parts) const {
  const std::size_t form = kernels.matrix->index * kMaxParts + static_cast<std::size_t>(parts - 1);
  std::call_once(pairs_once_[form], [&] {
    std::vector<PackedMatrixLayer> layers;
    for (std::size_t l = 0; l < specs_.size(); ++l) {
      const OwnedDirection& own = weights_[l];
      const DirectionWeights w{own.w_ih, own.w_hh, own.b_ih, own.b_hh, own.w_hr};
      layers.push_back(pack_matrix_layer(kernels, *kernels.matrix, parts, specs_[l], w));
    }
    packed_pairs_[form] = std::move(layers);
  });
  return packed_pairs_[form];
}

}  // namespace slidecell
