// Recurrent::step on many rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "layers/batch_columns.h"

namespace slidecell {

// One step of a batch as columns, tile by tile, in buffers that grow and are kept.
class StepColumnsBuffers {
 public:
  // Arguments of Recurrent::step; h_out and c_out may be h and c.
  void step(const KernelTable& kernels, const Stack& stack, const float* x, std::int64_t N,
            const float* h, const float* c, float* h_out, float* c_out) {
    const std::int64_t tile = std::min(std::max(kTileRows, kernels.lanes), N);
    stride_ = round_up(tile, kernels.lanes);
    grow(kernels, stack);
    const std::vector<PackedLayer>& packed = stack.packed(kernels);
    for (std::int64_t first = 0; first < N; first += tile) {
      const std::int64_t count = std::min(tile, N - first);
      const std::int64_t vectors = ceil_div(count, kernels.lanes);
      load(x + first * stack.input_size(), count, stack.input_size(), in_);
      for (std::size_t l = 0; l < packed.size(); ++l) {
        const LayerSpec& spec = stack.specs()[l];
        const PackedDirection& weights = packed[l].front();
        const std::int64_t n = static_cast<std::int64_t>(l) * N + first;
        const std::int64_t P = spec.state_size(), H = spec.hidden_size;
        load(h + n * P, count, P, h_);
        if (spec.has_c()) load(c + n * H, count, H, c_);
        project_columns(kernels, weights.input, in_.data(), stride_, p_.data(), stride_, vectors);
        step_layer_columns(kernels, spec, weights, {p_.data(), stride_, col_.data()}, vectors,
                           h_.data(), c_.data(), next_.data(), unprojected_.data(), scratch_.data(),
                           stride_);
        store(next_, count, P, h_out + n * P);
        if (spec.has_c()) store(c_, count, H, c_out + n * H);
        std::swap(in_, next_);
      }
    }
  }

 private:
  void grow(const KernelTable& kernels, const Stack& stack) {
    std::int64_t widest = 0, most_rows = 0, scratch_rows = 0;
    for (const LayerSpec& spec : stack.specs()) {
      widest = std::max({widest, spec.input_size, spec.hidden_size});
      most_rows = std::max(most_rows, spec.gates() * spec.hidden_size);
      scratch_rows = std::max(scratch_rows, step_scratch_rows(spec, Products::float32));
    }
    for (AlignedFloats* buffer : {&in_, &next_, &h_, &c_, &unprojected_}) {
      if (buffer->size() < widest * stride_) buffer->reset(widest * stride_);
    }
    if (p_.size() < most_rows * stride_) p_.reset(most_rows * stride_);
    if (scratch_.size() < scratch_rows * stride_) scratch_.reset(scratch_rows * stride_);
    col_.resize(static_cast<std::size_t>(stride_ / kernels.lanes));
    for (std::size_t v = 0; v < col_.size(); ++v) {
      col_[v] = static_cast<std::int32_t>(static_cast<std::int64_t>(v) * kernels.lanes);
    }
  }

  // Rows [count, size] to columns [size][stride_], and back.
  void load(const float* rows, std::int64_t count, std::int64_t size, AlignedFloats& out) const {
    for (std::int64_t column = 0; column < count; ++column) {
      for (std::int64_t i = 0; i < size; ++i) {
        out.data()[i * stride_ + column] = rows[column * size + i];
      }
    }
  }
  void store(const AlignedFloats& in, std::int64_t count, std::int64_t size, float* rows) const {
    for (std::int64_t column = 0; column < count; ++column) {
      for (std::int64_t i = 0; i < size; ++i) {
        rows[column * size + i] = in.data()[i * stride_ + column];
      }
    }
  }

  std::ptrdiff_t stride_ = 0;
  std::vector<std::int32_t> col_;
  AlignedFloats in_, next_, h_, c_;  // [widest][stride_]
  AlignedFloats p_;                  // [G*H][stride_]
  AlignedFloats unprojected_, scratch_;
};

}  // namespace slidecell
