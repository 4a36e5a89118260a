// What stands on a stack: dense layers with activations between them.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "weights/linear.h"

namespace slidecell {

// One step of a head: a product, if any, then an activation of each number.
struct HeadLayer {
  std::unique_ptr<Linear> linear;  // null: the activation alone
  HeadActivation activation = HeadActivation::linear;
  float slope = 0;  // of leaky_relu
};

// Their names in model files: "linear", "relu", ...
std::vector<std::pair<const char*, HeadActivation>> head_activations_by_name();

class Head {
 public:
  // depth: of what the first layer reads. At least one layer is a product.
  Head(std::int64_t depth, std::vector<HeadLayer> layers);

  std::int64_t depth() const { return depth_; }
  std::int64_t rows() const { return rows_; }
  // Numbers that stand between two layers, at most; 0: there is one layer.
  std::int64_t inner_rows() const { return inner_rows_; }
  const std::vector<HeadLayer>& layers() const { return layers_; }

  // So that no later call of Linear::packed packs.
  void pack(const KernelTable& kernels) const;

 private:
  std::int64_t depth_, rows_, inner_rows_ = 0;
  std::vector<HeadLayer> layers_;
};

}  // namespace slidecell
