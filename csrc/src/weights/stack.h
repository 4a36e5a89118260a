// A stack of recurrent layers: its weights, checked and copied in, and their packed forms.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "cpu/active_kernels.h"
#include "slidecell/layer.hpp"
#include "weights/pack.h"
#include "weights/pack_pairs.h"

namespace slidecell {

class Stack {
 public:
  // `name` begins error texts. Throws std::invalid_argument on shapes that do not fit one another
  // and on weights that are missing, of the wrong size or not finite.
  Stack(std::string name, std::vector<LayerSpec> specs, const std::vector<LayerWeights>& weights);

  const std::vector<LayerSpec>& specs() const { return specs_; }
  std::int64_t input_size() const { return specs_.front().input_size; }
  std::int64_t output_size() const { return specs_.back().output_size(); }
  bool bidirectional() const;  // any layer

  // Packed on first use per ISA and kind of products; later calls take no lock. Products of codes
  // must serve every layer (serves_low, and on tiles has_scaled_rows).
  const std::vector<PackedLayer>& packed(const KernelTable& kernels,
                                         Products products = Products::float32) const;
  // For `parts` parts of kernels.matrix; every layer as PackedMatrixLayer says.
  const std::vector<PackedMatrixLayer>& packed_pairs(const KernelTable& kernels, int parts) const;

 private:
  struct OwnedDirection {
    std::vector<float> w_ih, w_hh, b_ih, b_hh, w_hr;
  };
  void check(const std::string& name) const;
  void adopt(const std::string& name, const LayerSpec& spec, const DirectionWeights& weights);

  std::vector<LayerSpec> specs_;
  std::vector<OwnedDirection> weights_;  // layer by layer, forward before reverse
  mutable std::array<std::once_flag, kProductKinds * kMaxIsas> once_;
  mutable std::array<std::vector<PackedLayer>, kProductKinds * kMaxIsas> packed_;
  mutable std::array<std::once_flag, kMatrixKinds * kMaxParts> pairs_once_;
  mutable std::array<std::vector<PackedMatrixLayer>, kMatrixKinds * kMaxParts> packed_pairs_;
};

}  // namespace slidecell
