#include "layers/columns.h"

#include <algorithm>
#include <utility>

#include "layers/configured_tiles.h"
#include "weights/cells.h"

namespace slidecell {
namespace {

// Rows that the codes of h take, of all instruction sets: words of two codes, or whole tiles of
// words of four.
std::int64_t code_rows(const LayerSpec& spec) {
  return round_up(2 * ceil_div(spec.hidden_size, 4), 16);
}

void step_low_columns(const KernelTable& kernels, const LayerSpec& spec,
                      const PackedDirection& packed, const StepInput& input, std::int64_t vectors,
                      const float* h, float* c, float* h_out, float* scratch,
                      std::ptrdiff_t stride) {
  LowStep a{};
  a.w = packed.low_columns.view();
  a.w_late = packed.low_late_columns.view();
  a.b_hh = packed.b_hh.data();
  a.hidden = spec.hidden_size;
  a.vectors = vectors;
  a.p = input.p;
  a.p_stride = input.stride;
  a.p_col = input.col;
  a.h = h;
  a.c = c;
  a.h_out = h_out;
  a.codes = scratch;
  a.scratch = scratch + code_rows(spec) * stride;
  a.stride = stride;
  a.activation = spec.activation;
  a.recurrent_activation = spec.recurrent_activation;
  a.scaled = packed.low_scaled;
  a.coarse = is_coarse(packed.products);
  low_kernels(kernels, packed.products).cells[packed.form].columns(a);
}

}  // namespace

std::vector<std::int32_t> adjacent_columns(const KernelTable& kernels, std::int64_t vectors) {
  std::vector<std::int32_t> col;
  for (std::int64_t v = 0; v < vectors; ++v) {
    col.push_back(static_cast<std::int32_t>(v * kernels.lanes));
  }
  return col;
}

void project_columns(const KernelTable& kernels, const PackedLinear& linear, const float* x,
                     std::ptrdiff_t x_stride, float* out, std::ptrdiff_t out_stride,
                     std::int64_t vectors) {
  kernels.project(
      {linear.columns.data(), linear.rows, linear.depth, x, x_stride, out, out_stride, vectors});
}

std::int64_t step_scratch_rows(const LayerSpec& spec, Products products) {
  const std::int64_t late = traits_of(spec).late.count > 0 ? 2 * spec.hidden_size : 0;
  return late + (products == Products::float32 ? 0 : code_rows(spec));
}

void step_layer_columns(const KernelTable& kernels, const LayerSpec& spec,
                        const PackedDirection& packed, const StepInput& input, std::int64_t vectors,
                        const float* h, float* c, float* h_out, float* unprojected, float* scratch,
                        std::ptrdiff_t stride) {
  if (packed.low()) {
    return step_low_columns(kernels, spec, packed, input, vectors, h, c, h_out, scratch, stride);
  }
  const bool projected = spec.proj_size > 0;
  StepColumns a{};
  a.w = packed.recurrent_columns.data();
  a.w_late = packed.late_columns.data();
  a.b_hh = packed.b_hh.data();
  a.hidden = spec.hidden_size;
  a.state = spec.state_size();
  a.vectors = vectors;
  a.p = input.p;
  a.p_stride = input.stride;
  a.p_col = input.col;
  a.h = h;
  a.c = c;
  a.h_out = projected ? unprojected : h_out;
  a.scratch = scratch;
  a.stride = stride;
  a.activation = spec.activation;
  a.recurrent_activation = spec.recurrent_activation;
  kernels.cells[packed.form].columns(a);
  if (projected) {
    project_columns(kernels, packed.projection, unprojected, stride, h_out, stride, vectors);
  }
}

LayerColumns::LayerColumns(const KernelTable& kernels, const LayerSpec& spec,
                           const PackedDirection& packed, std::ptrdiff_t stride)
    : kernels_(kernels),
      spec_(spec),
      packed_(packed),
      stride_(stride),
      h_(spec.state_size() * stride) {
  if (!packed.low()) h_next_.reset(spec.state_size() * stride);
  if (spec.has_c()) c_.reset(spec.hidden_size * stride);
  if (spec.proj_size > 0) unprojected_.reset(spec.hidden_size * stride);
  scratch_.reset(step_scratch_rows(spec, packed.products) * stride);
}

const float* LayerColumns::step(const StepInput& input, std::int64_t vectors) {
  step_layer_columns(kernels_, spec_, packed_, input, vectors, started_ ? h_.data() : nullptr,
                     c_.data(), packed_.low() ? h_.data() : h_next_.data(), unprojected_.data(),
                     scratch_.data(), stride_);
  if (!packed_.low()) std::swap(h_, h_next_);
  started_ = true;
  return h_.data();
}

void LayerColumns::zero(std::int64_t column) {
  zero_column(h_, column, stride_);
  zero_column(c_, column, stride_);
}

ConstantInput::ConstantInput(const KernelTable& kernels, const PackedLayer& layer,
                             std::ptrdiff_t stride)
    : kernels_(kernels),
      layer_(layer),
      stride_(stride),
      col_(adjacent_columns(kernels, stride / kernels.lanes)) {
  for (const PackedDirection& direction : layer) p_.emplace_back(direction.input.rows * stride);
}

void ConstantInput::set(const float* x, std::ptrdiff_t x_stride, std::int64_t vectors) {
  for (std::size_t d = 0; d < layer_.size(); ++d) {
    project_columns(kernels_, layer_[d].input, x, x_stride, p_[d].data(), stride_, vectors);
  }
}

StepInput ConstantInput::at(std::int64_t /*step*/, std::size_t direction) {
  return {p_[direction].data(), stride_, col_.data()};
}

StackColumns::StackColumns(const KernelTable& kernels, const Stack& stack, std::int64_t max_vectors,
                           Products products)
    : kernels_(kernels),
      stack_(stack),
      products_(products),
      packed_(stack.packed(kernels, products)),
      stride_(max_vectors * kernels.lanes),
      col_(adjacent_columns(kernels, max_vectors)),
      p_(packed_.size()) {
  for (std::size_t l = 0; l < packed_.size(); ++l) {
    std::vector<LayerColumns> directions;
    for (const PackedDirection& direction : packed_[l]) {
      directions.emplace_back(kernels, stack.specs()[l], direction, stride_);
    }
    layers_.push_back(std::move(directions));
    if (l > 0) p_[l].reset(packed_[l].front().input.rows * stride_);
  }
  if (stack.bidirectional()) last_.reset(stack.output_size() * stride_);
}

void StackColumns::clear() {
  for (auto& layer : layers_) {
    for (LayerColumns& direction : layer) direction.clear();
  }
}

const float* StackColumns::run(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                               StepSink* sink, const std::int64_t* lengths) {
  const ConfiguredTiles tiles =
      on_tiles(products_) ? ConfiguredTiles(low_kernels(kernels_, products_)) : ConfiguredTiles();
  return stack_.bidirectional() ? run_by_layer(input, steps, vectors, sink, lengths)
                                : run_by_step(input, steps, vectors, sink);
}

StepInput StackColumns::project(std::size_t l, std::size_t direction, const float* x,
                                std::int64_t vectors) {
  project_columns(kernels_, packed_[l][direction].input, x, stride_, p_[l].data(), stride_,
                  vectors);
  return {p_[l].data(), stride_, col_.data()};
}

void StackColumns::zero(std::int64_t column) {
  for (auto& layer : layers_) {
    for (LayerColumns& direction : layer) direction.zero(column);
  }
}

// Step by step through all layers: hidden sequences need not be kept.
const float* StackColumns::run_by_step(InputColumns& input, std::int64_t steps,
                                       std::int64_t vectors, StepSink* sink) {
  const float* h = nullptr;
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const StepInput in = l == 0 ? input.at(t, 0) : project(l, 0, h, vectors);
      h = layers_[l].front().step(in, vectors);
      if (sink) sink->on_layer_step(l, 0, t, layers_[l].front());
    }
    if (sink) sink->on_step(t, h);
  }
  return h;
}

// Layer by layer: the reverse direction needs the whole sequence below it.
const float* StackColumns::run_by_layer(InputColumns& input, std::int64_t steps,
                                        std::int64_t vectors, StepSink* sink,
                                        const std::int64_t* lengths) {
  // Both buffers at once: they take turns, so another run would find the wrong one too small.
  std::int64_t kept = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (keeps(l, sink)) kept = std::max(kept, steps * stack_.specs()[l].output_size() * stride_);
  }
  for (AlignedFloats* buffer : {&below_, &above_}) {
    if (buffer->size() < kept) buffer->reset(kept);
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    for (std::size_t d = 0; d < layers_[l].size(); ++d) {
      run_direction(l, d, input, steps, vectors, sink, lengths);
    }
    std::swap(below_, above_);
  }
  const std::int64_t size = stack_.output_size() * stride_;
  for (std::int64_t t = 0; sink && t < steps; ++t) sink->on_step(t, below_.data() + t * size);
  std::vector<LayerColumns>& top = layers_.back();
  if (top.size() == 1) return top.front().h();
  for (std::size_t d = 0; d < 2; ++d) {
    std::copy_n(top[d].h(), size / 2, last_.data() + static_cast<std::int64_t>(d) * size / 2);
  }
  return last_.data();
}

// One direction of layer l over the whole sequence in below_, into its half of above_.
void StackColumns::run_direction(std::size_t l, std::size_t direction, InputColumns& input,
                                 std::int64_t steps, std::int64_t vectors, StepSink* sink,
                                 const std::int64_t* lengths) {
  LayerColumns& layer = layers_[l][direction];
  const std::int64_t in_size = stack_.specs()[l].input_size;
  const std::int64_t state = layer.spec().state_size(), out_size = layer.spec().output_size();
  const bool per_column = direction == 1 && lengths;
  // Row that a column reads at a step of the reverse direction; finished columns read any.
  const auto row_of = [&](std::int64_t column, std::int64_t step) {
    return std::max<std::int64_t>(0, lengths[column] - 1 - step);
  };
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t t = direction == 0 ? step : steps - 1 - step;
    const float* x = l > 0 ? below_.data() + t * in_size * stride_ : nullptr;
    if (l > 0 && per_column) {
      if (gathered_.size() < in_size * stride_) gathered_.reset(in_size * stride_);
      for (std::int64_t i = 0; i < in_size; ++i) {
        for (std::int64_t column = 0; column < vectors * kernels_.lanes; ++column) {
          gathered_.data()[i * stride_ + column] =
              below_.data()[(row_of(column, step) * in_size + i) * stride_ + column];
        }
      }
      x = gathered_.data();
    }
    const StepInput in = l == 0 ? input.at(step, direction) : project(l, direction, x, vectors);
    const float* h = layer.step(in, vectors);
    if (sink) sink->on_layer_step(l, direction, step, layer);
    if (!keeps(l, sink)) continue;
    const auto half = static_cast<std::int64_t>(direction) * state;
    if (!per_column) {
      std::copy_n(h, state * stride_, above_.data() + (t * out_size + half) * stride_);
      continue;
    }
    for (std::int64_t column = 0; column < vectors * kernels_.lanes; ++column) {
      if (step >= lengths[column]) continue;
      float* out = above_.data() + (row_of(column, step) * out_size + half) * stride_ + column;
      for (std::int64_t j = 0; j < state; ++j) out[j * stride_] = h[j * stride_ + column];
    }
  }
}

}  // namespace slidecell
