// Recurrent::forward on one batch row at a time: lanes are hidden units.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "layers/batch_columns.h"
#include "layers/layer_row.h"

namespace slidecell {

// One thread's workspace for single batch rows, layer by layer.
class BatchRow {
 public:
  BatchRow(const KernelTable& kernels, const Stack& stack, Products products, const Batch& batch)
      : kernels_(kernels), stack_(stack), packed_(stack.packed(kernels, products)), batch_(batch) {
    std::int64_t scratch = 0, widest = 0;
    for (const LayerSpec& spec : stack.specs()) {
      scratch = std::max(scratch, LayerRow::scratch_size(kernels, spec));
      widest = std::max(widest, spec.output_size());
    }
    scratch_.reset(scratch);
    if (stack.specs().size() > 1) {
      below_.reset(batch.T * widest);
      above_.reset(batch.T * widest);
    }
  }

  void run(std::int64_t n) {
    const std::int64_t length = batch_.length(n), out_size = stack_.output_size();
    const float* x = batch_.x + n * batch_.T * stack_.input_size();
    for (std::size_t l = 0; l < stack_.specs().size(); ++l) {
      const bool top = l + 1 == stack_.specs().size();
      float* out = top ? batch_.out + n * batch_.T * out_size : above_.data();
      for (std::int64_t d = 0; d < stack_.specs()[l].directions(); ++d) {
        run_direction(n, l, d, x, length, out);
      }
      std::swap(below_, above_);
      x = below_.data();
    }
  }

 private:
  void run_direction(std::int64_t n, std::size_t l, std::int64_t d, const float* x,
                     std::int64_t length, float* out) {
    const LayerSpec& spec = stack_.specs()[l];
    const PackedDirection& packed = packed_[l][static_cast<std::size_t>(d)];
    const std::int64_t state = spec.state_size();
    const std::int64_t at = (static_cast<std::int64_t>(l) * spec.directions() + d) * batch_.N + n;
    float* h_n = batch_.h_n + at * state;
    c_.resize(static_cast<std::size_t>(spec.hidden_size));
    if (batch_.c0) std::copy_n(batch_.c0 + at * spec.hidden_size, spec.hidden_size, c_.begin());
    const float* h = batch_.h0 ? batch_.h0 + at * state : nullptr;
    LayerRow layer(kernels_, spec, packed, scratch_.data());
    for (std::int64_t step = 0; step < length; ++step) {
      const std::int64_t t = d == 0 ? step : length - 1 - step;
      float* h_out = out + t * spec.output_size() + d * state;
      layer.step(x + t * spec.input_size, h, c_.data(), h_out);
      h = h_out;
    }
    if (length == 0) return;
    std::copy_n(h, state, h_n);
    if (batch_.c_n) std::copy_n(c_.begin(), spec.hidden_size, batch_.c_n + at * spec.hidden_size);
  }

  const KernelTable& kernels_;
  const Stack& stack_;
  const std::vector<PackedLayer>& packed_;
  const Batch& batch_;
  AlignedFloats scratch_, below_, above_;
  std::vector<float> c_;
};

}  // namespace slidecell
