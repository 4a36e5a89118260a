// The tensors of a model file by name, checked.
#pragma once

#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "model/json_fields.h"
#include "slidecell/model.hpp"

namespace slidecell {

// Sizes are bounded before they are multiplied: they come from the file.
constexpr std::int64_t kMaxLayerSize = std::int64_t{1} << 20;

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

}  // namespace slidecell
