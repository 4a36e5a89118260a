#include "stream/carried_states.h"

#include <algorithm>

namespace slidecell {
namespace {

std::int64_t layer_size(const LayerSpec& spec) {
  return spec.state_size() + (spec.has_c() ? spec.hidden_size : 0);
}

}  // namespace

std::int64_t CarriedStates::chain_size(const Stack& stack) {
  std::int64_t size = 0;
  for (const LayerSpec& spec : stack.specs()) size += layer_size(spec);
  return size;
}

CarriedStates::CarriedStates(const KernelTable& kernels, const Stack& stack,
                             std::int64_t num_entities, std::int64_t width, Products products)
    : kernels_(kernels),
      stack_(stack),
      packed_(stack.packed(kernels, products)),
      products_(products),
      num_entities_(num_entities),
      size_(chain_size(stack)),
      width_(width),
      output_(size_ - layer_size(stack.specs().back())),
      col_(adjacent_columns(kernels, width / kernels.lanes)),
      states_(static_cast<std::size_t>(2 * num_entities * size_)) {}

CarriedStates::Workspace::Workspace(const CarriedStates& states, bool bf16_weights) {
  const std::int64_t width = states.width_;
  std::int64_t widest = 0, scratch_rows = 0;
  for (std::size_t l = 0; l < states.packed_.size(); ++l) {
    const LayerSpec& spec = states.stack_.specs()[l];
    const PackedDirection& packed = states.packed_[l].front();
    widest = std::max(widest, spec.hidden_size);
    scratch_rows = std::max(scratch_rows, step_scratch_rows(spec, states.products_));
    row_scratch_.emplace_back(LayerRow::scratch_size(states.kernels_, spec));
    rows_.emplace_back(states.kernels_, spec, packed, row_scratch_.back().data(), bf16_weights);
    p_.emplace_back(packed.input.rows * width);
    next_.emplace_back(spec.state_size() * width);
  }
  gathered_.reset(width * states.size_);
  columns_.reset(states.size_ * width);
  unprojected_.reset(widest * width);
  scratch_.reset(scratch_rows * width);
}

void CarriedStates::prefetch(const Step& step) {
  constexpr std::int64_t kLineFloats = 16;
  const float* chain = state(step);
  for (std::int64_t i = 0; i < size_; i += kLineFloats) __builtin_prefetch(chain + i, 1, 2);
}

void CarriedStates::zero(const Step& step) { std::fill_n(state(step), size_, 0.0f); }

const float* CarriedStates::step_row(const Step& step, const float* x, Workspace& w) {
  float* h = state(step);
  for (LayerRow& layer : w.rows_) {
    float* c = h + layer.spec().state_size();
    layer.step(x, h, c, h);
    x = h;
    h = c + (layer.spec().has_c() ? layer.spec().hidden_size : 0);
  }
  return x;
}

const float* CarriedStates::step_columns(const Step* steps, std::int64_t count, const float* x,
                                         Workspace& w) {
  const std::int64_t vectors = ceil_div(count, kernels_.lanes);
  bool adjacent = true;
  for (std::int64_t i = 1; i < count; ++i) {
    adjacent =
        adjacent && steps[i].entity == steps[0].entity + i && steps[i].chain == steps[0].chain;
  }
  float* const states = adjacent ? state(steps[0]) : w.gathered_.data();  // [count][size]
  for (std::int64_t i = 0; i < count && !adjacent; ++i) {
    std::copy_n(state(steps[i]), size_, states + i * size_);
  }
  const auto transpose = kernels_.train.transpose;
  transpose({states, count, size_, size_, w.columns_.data(), width_});
  std::int64_t at = 0;  // of the layer in a chain
  for (std::size_t l = 0; l < packed_.size(); ++l) {
    const LayerSpec& spec = stack_.specs()[l];
    const std::int64_t P = spec.state_size(), H = spec.has_c() ? spec.hidden_size : 0;
    const PackedDirection& packed = packed_[l].front();
    float *h = w.columns_.data() + at * width_, *c = h + P * width_;
    project_columns(kernels_, packed.input, l == 0 ? x : w.next_[l - 1].data(), width_,
                    w.p_[l].data(), width_, vectors);
    step_layer_columns(kernels_, spec, packed, {w.p_[l].data(), width_, col_.data()}, vectors, h, c,
                       w.next_[l].data(), w.unprojected_.data(), w.scratch_.data(), width_);
    float* rows = states + at;
    transpose({w.next_[l].data(), P, count, width_, rows, size_});
    if (H > 0) transpose({c, H, count, width_, rows + P, size_});
    at += P + H;
  }
  for (std::int64_t i = 0; i < count && !adjacent; ++i) {
    std::copy_n(states + i * size_, size_, state(steps[i]));
  }
  return w.next_.back().data();
}

void CarriedStates::save(std::int64_t entity, float* out) {
  for (const std::int64_t chain : {0, 1}) {
    std::copy_n(state({entity, chain}), size_, out + chain * size_);
  }
}

void CarriedStates::restore(std::int64_t entity, const float* in) {
  for (const std::int64_t chain : {0, 1}) {
    std::copy_n(in + chain * size_, size_, state({entity, chain}));
  }
}

}  // namespace slidecell
