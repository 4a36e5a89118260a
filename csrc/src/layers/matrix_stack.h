// A stack on a tile of windows, whose products are made of bf16 parts (kernels/matrix_table.h).
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"

namespace slidecell {

class MatrixStack final : public TileStack {
 public:
  // parts: of float32, 1 to 3. kernels.matrix must not be null.
  MatrixStack(const KernelTable& kernels, const Stack& stack, int parts, std::int64_t max_vectors);

  void clear() override { started_ = false; }
  void zero(std::int64_t column) override;
  // The sink sees on_step alone.
  const float* run(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                   StepSink* sink) override;
  const PackedLayer& bottom() const override { return packed_.front().input; }
  std::ptrdiff_t stride() const override { return stride_; }

 private:
  struct Layer {
    AlignedFloats h, h_next, c, scratch;
    AlignedWords pairs, pairs_next, late_pairs;  // [parts][pairs][stride]
    AlignedFloats p;                             // projected input of layers above 0
  };
  StepInput project(std::size_t l, std::int64_t vectors);
  void step(std::size_t l, const StepInput& input, std::int64_t vectors);

  const MatrixKernels& matrix_;
  const Stack& stack_;
  std::size_t split_;  // parts - 1
  const std::vector<PackedMatrixLayer>& packed_;
  std::ptrdiff_t stride_;
  std::vector<std::int32_t> col_;
  std::vector<Layer> layers_;
  bool started_ = false;
};

}  // namespace slidecell
