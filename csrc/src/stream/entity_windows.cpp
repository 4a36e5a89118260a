#include "stream/entity_windows.h"

#include <algorithm>

namespace slidecell {

EntityWindows::EntityWindows(const KernelTable& kernels, const Stack& stack, std::int64_t window,
                             Products products, bool bf16_weights)
    : kernels_(kernels),
      stack_(stack),
      window_(window),
      columns_(kernels, stack, ceil_div(window, kernels.lanes), products),
      p_(columns_.bottom().front().input.rows * kernels.lanes),
      col_(static_cast<std::size_t>(ceil_div(window, kernels.lanes)), 0) {
  const std::vector<PackedLayer>& packed = stack.packed(kernels, products);
  for (std::size_t l = 0; l < packed.size(); ++l) {
    const LayerSpec& spec = stack.specs()[l];
    scratch_.emplace_back(LayerRow::scratch_size(kernels, spec));
    layers_.emplace_back(kernels, spec, packed[l].front(), scratch_.back().data(), bf16_weights);
    h_.emplace_back(spec.state_size());
    c_.emplace_back(spec.hidden_size);
  }
  restart();
}

// The state of windows that do not exist is never read: columns start from zero.
void EntityWindows::restart() {
  for (LayerRow& layer : layers_) layer.prepare_zero();
}

const float* EntityWindows::answer(const float* x, std::int64_t n) {
  layers_.front().read(x);
  if (n < window_ - 1) return nullptr;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (l > 0) layers_[l].read(h_[l - 1].data());
    layers_[l].finish(h_[l].data(), c_[l].data(), h_[l].data());
  }
  return h_.back().data();
}

// One row for all columns: each value of the projected input stands in every lane, and all groups
// of columns read the same ones.
class EntityWindows::BroadcastInput final : public InputColumns {
 public:
  explicit BroadcastInput(EntityWindows& windows) : windows_(windows) {}
  StepInput at(std::int64_t, std::size_t) override {
    return {windows_.p_.data(), windows_.kernels_.lanes, windows_.col_.data()};
  }

 private:
  EntityWindows& windows_;
};

void EntityWindows::advance(std::int64_t n) {
  if (window_ == 1) return;  // a row completes the window that it starts
  const std::int64_t lanes = kernels_.lanes, G = stack_.specs().front().gates();
  const float* p = layers_.front().projected_input();  // [panels][G][lanes]
  for (std::int64_t r = 0; r < columns_.bottom().front().input.rows; ++r) {
    const std::int64_t unit = r / G, gate = r % G;
    std::fill_n(p_.data() + r * lanes, lanes, p[(unit / lanes * G + gate) * lanes + unit % lanes]);
  }
  const std::int64_t fresh = n % window_;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    LayerColumns& layer = columns_.layer(l, 0);
    for (std::int64_t j = 0; j < layer.spec().state_size(); ++j) {
      layer.h()[j * columns_.stride() + fresh] = 0.0f;
    }
    for (std::int64_t j = 0; j < layer.spec().hidden_size && layer.c(); ++j) {
      layer.c()[j * columns_.stride() + fresh] = 0.0f;
    }
    layer.resume();
  }
  BroadcastInput input(*this);
  columns_.run(input, 1, static_cast<std::int64_t>(col_.size()), nullptr);
  prepare(n + 1);
}

// Copies the window that `next_row` completes out of its column.
void EntityWindows::prepare(std::int64_t next_row) {
  if (next_row < window_ - 1 || window_ == 1) return;
  const std::int64_t column = (next_row + 1) % window_;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    LayerColumns& layer = columns_.layer(l, 0);
    for (std::int64_t j = 0; j < layer.spec().state_size(); ++j) {
      h_[l].data()[j] = layer.h()[j * columns_.stride() + column];
    }
    for (std::int64_t j = 0; j < layer.spec().hidden_size && layer.c(); ++j) {
      c_[l].data()[j] = layer.c()[j * columns_.stride() + column];
    }
    layers_[l].prepare(h_[l].data());
  }
  for (const LayerRow& layer : layers_) layer.prefetch();
}

std::int64_t unfinished_state_size(const Stack& stack, std::int64_t window) {
  std::int64_t size = 0;
  for (const LayerSpec& spec : stack.specs()) {
    size += spec.state_size() + (spec.has_c() ? spec.hidden_size : 0);
  }
  return (window - 1) * size;
}

template <class Visit>
void EntityWindows::for_state(std::int64_t n, Visit visit) {
  for (std::int64_t age = 1; age < window_; ++age) {
    const std::int64_t column = window_slot(n - age + 1, window_);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      LayerColumns& layer = columns_.layer(l, 0);
      for (std::int64_t j = 0; j < layer.spec().state_size(); ++j) {
        visit(layer.h()[j * columns_.stride() + column]);
      }
      for (std::int64_t j = 0; j < layer.spec().hidden_size && layer.c(); ++j) {
        visit(layer.c()[j * columns_.stride() + column]);
      }
    }
  }
}

void EntityWindows::save(std::int64_t n, float* out) {
  for_state(n, [&](float& value) { *out++ = value; });
}

void EntityWindows::restore(std::int64_t n, const float* in) {
  for_state(n, [&](float& value) { value = *in++; });
  prepare(n + 1);
}

}  // namespace slidecell
