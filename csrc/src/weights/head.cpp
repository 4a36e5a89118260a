#include "weights/head.h"

#include <algorithm>

namespace slidecell {
namespace {

const char* name_of(HeadActivation activation) {
  switch (activation) {
    case HeadActivation::linear:
      return "linear";
    case HeadActivation::relu:
      return "relu";
    case HeadActivation::tanh:
      return "tanh";
    case HeadActivation::sigmoid:
      return "sigmoid";
    case HeadActivation::gelu:
      return "gelu";
    case HeadActivation::gelu_tanh:
      return "gelu_tanh";
    case HeadActivation::leaky_relu:
      return "leaky_relu";
  }
  return nullptr;
}

}  // namespace

std::vector<std::pair<const char*, HeadActivation>> head_activations_by_name() {
  std::vector<std::pair<const char*, HeadActivation>> all;
  for (std::uint8_t i = 0; const char* name = name_of(static_cast<HeadActivation>(i)); ++i) {
    all.emplace_back(name, static_cast<HeadActivation>(i));
  }
  return all;
}

Head::Head(std::int64_t depth, std::vector<HeadLayer> layers)
    : depth_(depth), rows_(depth), layers_(std::move(layers)) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l].linear) rows_ = layers_[l].linear->rows();
    if (l + 1 < layers_.size()) inner_rows_ = std::max(inner_rows_, rows_);
  }
}

void Head::pack(const KernelTable& kernels) const {
  for (const HeadLayer& layer : layers_) {
    if (layer.linear) layer.linear->packed(kernels);
  }
}

}  // namespace slidecell
