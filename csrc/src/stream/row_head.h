// From a window's code to its prediction and score, in the row orientation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/columns.h"
#include "layers/head.h"
#include "layers/layer_row.h"
#include "model/model_parts.h"

namespace slidecell {

// The errors of one window's predicted rows, reduced in the order of ErrorSum.
class RowErrors {
 public:
  RowErrors(const ModelParts& model, const KernelTable& kernels, Reduction reduction);

  void clear() { sum_ = 0.0f; }
  // pred [T], its log variances, if any, head_size() after it; truth [F]; row: 0 ..
  // predicted_rows-1.
  void add(std::int64_t row, const float* pred, const float* truth);
  float mean(std::int64_t rows) const;

 private:
  const ModelParts& model_;
  const KernelTable& kernels_;
  Reduction reduction_;
  float sum_ = 0.0f;
  AlignedFloats errors_, whitened_;  // mahalanobis: [D], padded
};

// Decoder and head for one window at a time. Allocates when built and never after.
class RowHead {
 public:
  RowHead(const ModelParts& model, const KernelTable& kernels, Products products);

  // Forecasters: code -> all that the head predicts.
  const float* forecast(const float* code) { return head_.run(code); }

  // Autoencoders: code -> calls on_row(t, pred [T]) for t = first .. W-1.
  template <class OnRow>
  void reconstruct(const float* code, std::int64_t first, OnRow on_row);

 private:
  class ColumnSink;
  void start_decoder();
  const float* decoder_step(const float* code);
  void decode_by_columns(const float* code);

  const ModelParts& model_;
  const KernelTable& kernels_;
  HeadRow head_;
  std::vector<AlignedFloats> scratch_;
  std::vector<LayerRow> layers_;      // decoder
  std::vector<AlignedFloats> h_, c_;  // decoder states
  bool started_ = false;
  // A bidirectional decoder needs its whole sequence: it runs in one column.
  std::unique_ptr<StackColumns> columns_;
  std::unique_ptr<ConstantInput> input_;
  AlignedFloats column_, sequence_;  // [code][lanes], [W][output_size]
};

template <class OnRow>
void RowHead::reconstruct(const float* code, std::int64_t first, OnRow on_row) {
  if (columns_) {
    decode_by_columns(code);
  } else {
    start_decoder();
  }
  for (std::int64_t t = 0; t < model_.window; ++t) {
    const float* h =
        columns_ ? sequence_.data() + t * model_.decoder->output_size() : decoder_step(code);
    if (t < first) continue;
    on_row(t, head_.run(h));
  }
}

}  // namespace slidecell
