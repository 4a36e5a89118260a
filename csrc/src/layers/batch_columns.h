// Recurrent::forward on tiles of batch rows: lanes are rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "layers/columns.h"
#include "slidecell/span.hpp"

namespace slidecell {

// Batch rows of a tile.
constexpr std::int64_t kTileRows = 96;

// The arguments of Recurrent::forward.
struct Batch {
  const float* x;  // [N,T,I]
  std::int64_t N, T;
  const float *h0, *c0;  // [L*D,N,P or H], [L*D,N,H], or null
  Span<const std::int64_t> lengths;
  float *out, *h_n, *c_n;

  std::int64_t length(std::int64_t n) const {
    return lengths.empty() ? T : lengths[static_cast<std::size_t>(n)];
  }
};

// Layer 0's input of a tile of batch rows first .. first+count-1.
class BatchInput final : public InputColumns {
 public:
  BatchInput(const KernelTable& kernels, const PackedLayer& layer, std::ptrdiff_t stride,
             const Batch& batch)
      : kernels_(kernels),
        layer_(layer),
        stride_(stride),
        batch_(batch),
        col_(adjacent_columns(kernels, stride / kernels.lanes)),
        x_(layer.front().input.depth * stride),
        p_(layer.front().input.rows * stride) {}

  void set(std::int64_t first, std::int64_t count) {
    first_ = first;
    count_ = count;
  }

  StepInput at(std::int64_t step, std::size_t direction) override {
    const PackedLinear& linear = layer_[direction].input;
    for (std::int64_t column = 0; column < count_; ++column) {
      const std::int64_t length = batch_.length(first_ + column);
      // Columns past their end read any row: nothing of them is kept.
      const std::int64_t t = direction == 0 ? step : std::max<std::int64_t>(0, length - 1 - step);
      const float* row = batch_.x + ((first_ + column) * batch_.T + t) * linear.depth;
      for (std::int64_t i = 0; i < linear.depth; ++i) x_.data()[i * stride_ + column] = row[i];
    }
    const std::int64_t vectors = ceil_div(count_, kernels_.lanes);
    project_columns(kernels_, linear, x_.data(), stride_, p_.data(), stride_, vectors);
    return {p_.data(), stride_, col_.data()};
  }

 private:
  const KernelTable& kernels_;
  const PackedLayer& layer_;
  std::ptrdiff_t stride_;
  const Batch& batch_;
  std::int64_t first_ = 0, count_ = 0;
  std::vector<std::int32_t> col_;
  AlignedFloats x_, p_;
};

// Writes out, h_n and c_n of a tile of batch rows, transposed back.
class BatchWriter final : public StepSink {
 public:
  BatchWriter(const Stack& stack, const Batch& batch, std::ptrdiff_t stride)
      : stack_(stack), batch_(batch), stride_(stride) {}

  void set(std::int64_t first, std::int64_t count) {
    first_ = first;
    count_ = count;
  }

  void on_step(std::int64_t t, const float* h) override {
    const std::int64_t size = stack_.output_size();
    for (std::int64_t column = 0; column < count_; ++column) {
      if (t >= batch_.length(first_ + column)) continue;
      float* out = batch_.out + ((first_ + column) * batch_.T + t) * size;
      for (std::int64_t j = 0; j < size; ++j) out[j] = h[j * stride_ + column];
    }
  }

  void on_layer_step(std::size_t layer, std::size_t direction, std::int64_t step,
                     LayerColumns& state) override {
    for (std::int64_t column = 0; column < count_; ++column) {
      if (step != batch_.length(first_ + column) - 1) continue;
      copy_state(layer, direction, column, state);
    }
  }

 private:
  void copy_state(std::size_t layer, std::size_t direction, std::int64_t column,
                  LayerColumns& state) {
    const LayerSpec& spec = state.spec();
    const std::int64_t slot =
        static_cast<std::int64_t>(layer) * spec.directions() + static_cast<std::int64_t>(direction);
    const std::int64_t n = slot * batch_.N + first_ + column;
    for (std::int64_t j = 0; j < spec.state_size(); ++j) {
      batch_.h_n[n * spec.state_size() + j] = state.h()[j * stride_ + column];
    }
    if (!batch_.c_n) return;
    for (std::int64_t j = 0; j < spec.hidden_size; ++j) {
      batch_.c_n[n * spec.hidden_size + j] = state.c()[j * stride_ + column];
    }
  }

  const Stack& stack_;
  const Batch& batch_;
  std::ptrdiff_t stride_;
  std::int64_t first_ = 0, count_ = 0;
};

// One thread's workspace for tiles of batch rows.
class BatchColumns {
 public:
  BatchColumns(const KernelTable& kernels, const Stack& stack, Products products,
               const Batch& batch, std::int64_t max_vectors)
      : kernels_(kernels),
        stack_(stack),
        batch_(batch),
        columns_(kernels, stack, max_vectors, products),
        input_(kernels, columns_.bottom(), columns_.stride(), batch),
        writer_(stack, batch, columns_.stride()),
        lengths_(static_cast<std::size_t>(columns_.stride())) {}

  void run(std::int64_t first, std::int64_t count) {
    input_.set(first, count);
    writer_.set(first, count);
    std::int64_t steps = 0;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    for (std::int64_t column = 0; column < count; ++column) {
      lengths_[static_cast<std::size_t>(column)] = batch_.length(first + column);
      steps = std::max(steps, lengths_[static_cast<std::size_t>(column)]);
    }
    columns_.clear();
    if (batch_.h0) load_states(first, count);
    columns_.run(input_, steps, ceil_div(count, kernels_.lanes), &writer_,
                 batch_.lengths.empty() ? nullptr : lengths_.data());
  }

 private:
  void load_states(std::int64_t first, std::int64_t count) {
    std::int64_t slot = 0;
    for (std::size_t l = 0; l < stack_.specs().size(); ++l) {
      const LayerSpec& spec = stack_.specs()[l];
      for (std::int64_t d = 0; d < spec.directions(); ++d, ++slot) {
        LayerColumns& state = columns_.layer(l, static_cast<std::size_t>(d));
        const std::int64_t n = slot * batch_.N + first;
        for (std::int64_t column = 0; column < count; ++column) {
          for (std::int64_t j = 0; j < spec.state_size(); ++j) {
            state.h()[j * columns_.stride() + column] =
                batch_.h0[(n + column) * spec.state_size() + j];
          }
          for (std::int64_t j = 0; j < spec.hidden_size && spec.has_c(); ++j) {
            state.c()[j * columns_.stride() + column] =
                batch_.c0[(n + column) * spec.hidden_size + j];
          }
        }
        state.resume();
      }
    }
  }

  const KernelTable& kernels_;
  const Stack& stack_;
  const Batch& batch_;
  StackColumns columns_;
  BatchInput input_;
  BatchWriter writer_;
  std::vector<std::int64_t> lengths_;
};

}  // namespace slidecell
