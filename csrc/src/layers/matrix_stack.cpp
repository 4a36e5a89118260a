#include "layers/matrix_stack.h"

#include <utility>

#include "layers/configured_tiles.h"

namespace slidecell {
MatrixStack::MatrixStack(const KernelTable& kernels, const Stack& stack, int parts,
                         std::int64_t max_vectors)
    : matrix_(*kernels.matrix),
      stack_(stack),
      split_(static_cast<std::size_t>(parts - 1)),
      packed_(stack.packed_pairs(kernels, parts)),
      stride_(max_vectors * kernels.lanes),
      col_(adjacent_columns(kernels, max_vectors)),
      layers_(packed_.size()) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const LayerSpec& spec = stack.specs()[l];
    Layer& layer = layers_[l];
    const std::int64_t size = spec.hidden_size * stride_;
    const std::int64_t words = parts * packed_[l].state_words * stride_;
    layer.h.reset(size);
    layer.h_next.reset(size);
    layer.pairs.reset(words);
    layer.pairs_next.reset(words);
    if (spec.has_c()) layer.c.reset(size);
    if (!packed_[l].late.words.empty()) {
      layer.scratch.reset(size);
      layer.late_pairs.reset(words);
    }
    if (l > 0) layer.p.reset(spec.gates() * size);
  }
}

void MatrixStack::zero(std::int64_t column) {
  for (Layer& layer : layers_) {
    zero_column(layer.h, column, stride_);
    zero_column(layer.c, column, stride_);
    zero_column(layer.pairs, column, stride_);
  }
}

const float* MatrixStack::run(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                              StepSink* sink) {
  const ConfiguredTiles tiles(matrix_);
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      step(l, l == 0 ? input.at(t, 0) : project(l, vectors), vectors);
    }
    started_ = true;
    if (sink) sink->on_step(t, layers_.back().h.data());
  }
  return layers_.back().h.data();
}

StepInput MatrixStack::project(std::size_t l, std::int64_t vectors) {
  const PackedMatrixLayer& packed = packed_[l];
  MatrixProject a{};
  a.w = packed.input_pairs.view();
  a.bias = packed.bias.data();
  a.rows = packed.bias.size();
  a.pairs = packed.input_words;
  a.x = layers_[l - 1].pairs.data();
  a.out = layers_[l].p.data();
  a.stride = stride_;
  a.vectors = vectors;
  matrix_.project[split_](a);
  return {a.out, stride_, col_.data()};
}

void MatrixStack::step(std::size_t l, const StepInput& input, std::int64_t vectors) {
  const PackedMatrixLayer& packed = packed_[l];
  const LayerSpec& spec = stack_.specs()[l];
  Layer& layer = layers_[l];
  MatrixStep a{};
  a.w = packed.recurrent.view();
  a.w_late = packed.late.view();
  a.b_hh = packed.b_hh.data();
  a.hidden = spec.hidden_size;
  a.pairs = packed.state_words;
  a.vectors = vectors;
  a.p = input.p;
  a.p_stride = input.stride;
  a.p_col = input.col;
  a.h_pairs = started_ ? layer.pairs.data() : nullptr;
  a.h = layer.h.data();
  a.c = layer.c.data();
  a.h_out = layer.h_next.data();
  a.h_pairs_out = layer.pairs_next.data();
  a.scratch = layer.scratch.data();
  a.late_pairs = layer.late_pairs.data();
  a.stride = stride_;
  matrix_.step[split_][packed.form](a);
  std::swap(layer.h, layer.h_next);
  std::swap(layer.pairs, layer.pairs_next);
}

}  // namespace slidecell
