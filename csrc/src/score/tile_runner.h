// The network on one tile of windows: encoder, decoder and head.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/columns.h"
#include "layers/head.h"
#include "model/model_parts.h"
#include "score/choose_kernel.h"
#include "score/shared_projection.h"
#include "score/window_tile.h"

namespace slidecell {

// Windows per tile, in groups of `lanes`: a stated rule of the model's shape and its products.
std::int64_t tile_vectors(const KernelTable& kernels, const ModelParts& model,
                          const KernelChoice& choice = {});

// Which windows of different entities share a vector.
MixRule mix_rule(const KernelTable& kernels, const ModelParts& model, const KernelChoice& choice);

// Takes the prediction of one row of every window of a tile: pred [T][stride] for row `row` of
// 0 .. predicted_rows-1. Its log variances, if any, stand head_size() rows after it.
class PredictionSink {
 public:
  virtual ~PredictionSink() = default;
  virtual void on_row(std::int64_t row, const float* pred) = 0;
};

// One thread's workspace.
class TileRunner {
 public:
  TileRunner(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
             const SeriesView& series, const WindowPlan& plan, Which which = Which::all);

  WindowTile& tile() { return tile_; }
  std::int64_t max_vectors() const { return max_vectors_; }
  std::ptrdiff_t stride() const { return encoder_->stride(); }

  void load(const TileWindows& windows);
  // The encoder's last h: [code][stride].
  const float* encode();
  // encode, decode and head; the sink sees predicted rows first_row, first_row+1, ... in order.
  void predict(PredictionSink& sink, std::int64_t first_row = 0);

 private:
  class DecoderHead;

  const ModelParts& model_;
  std::int64_t max_vectors_;
  WindowTile tile_;
  std::unique_ptr<TileStack> encoder_;
  SharedProjection input_;
  std::unique_ptr<TileStack> decoder_;
  std::unique_ptr<ConstantInput> code_;
  HeadColumns head_;
  AlignedFloats pred_;  // [head rows][stride]
};

}  // namespace slidecell
