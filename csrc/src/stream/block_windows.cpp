#include "stream/block_windows.h"

#include <algorithm>
#include <utility>

#include "stream/entity_windows.h"

namespace slidecell {

BlockWindows::BlockWindows(const KernelTable& kernels, const Stack& stack, std::int64_t window,
                           std::int64_t num_entities, std::int64_t width, Products products)
    : kernels_(kernels),
      stack_(stack),
      packed_(stack.packed(kernels, products)),
      products_(products),
      window_(window),
      num_entities_(num_entities),
      width_(width),
      col_(adjacent_columns(kernels, width / kernels.lanes)) {
  const std::int64_t blocks = ceil_div(num_entities, width);
  states_.resize(static_cast<std::size_t>(blocks * window * layers()));
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const LayerSpec& spec = stack.specs()[i % stack.specs().size()];
    states_[i].h.reset(spec.state_size() * width);
    if (spec.has_c()) states_[i].c.reset(spec.hidden_size * width);
  }
}

BlockWindows::Workspace::Workspace(const BlockWindows& windows) {
  const std::int64_t width = windows.width_;
  std::int64_t widest = 0, scratch_rows = 0;
  for (std::size_t l = 0; l < windows.packed_.size(); ++l) {
    const LayerSpec& spec = windows.stack_.specs()[l];
    widest = std::max(widest, spec.hidden_size);
    scratch_rows = std::max(scratch_rows, step_scratch_rows(spec, windows.products_));
    p_.emplace_back(windows.packed_[l].front().input.rows * width);
    h_.emplace_back(spec.state_size() * width);
    c_.emplace_back(spec.hidden_size * width);
    next_.emplace_back(spec.state_size() * width);
  }
  unprojected_.reset(widest * width);
  scratch_.reset(scratch_rows * width);
}

// All entities of the block get a row, and their windows stand in the same slots.
bool BlockWindows::in_step(const BlockRows& rows) const {
  const std::int64_t live = std::min(width_, num_entities_ - rows.block * width_);
  if (static_cast<std::int64_t>(rows.columns.size()) != live) return false;
  return std::all_of(rows.n.begin(), rows.n.end(),
                     [&](std::int64_t n) { return n % window_ == rows.n.front() % window_; });
}

void BlockWindows::step(std::size_t layer, const StepInput& input, std::int64_t vectors,
                        const float* h, float* c, float* h_out, Workspace& workspace) const {
  step_layer_columns(kernels_, stack_.specs()[layer], packed_[layer].front(), input, vectors, h, c,
                     h_out, workspace.unprojected_.data(), workspace.scratch_.data(), width_);
}

const float* BlockWindows::push(const BlockRows& rows, const float* x, Workspace& w) {
  const std::int64_t vectors =
      ceil_div(static_cast<std::int64_t>(rows.columns.size()), kernels_.lanes);
  const bool in_place = in_step(rows);
  project_columns(kernels_, packed_.front().front().input, x, width_, w.p_.front().data(), width_,
                  vectors);
  // From the window that starts with this row (no row taken yet) to the one that ends with it, so
  // that the last step leaves the completed window's h in place.
  for (std::int64_t age = 0; age < window_; ++age) {
    const bool fresh = age == 0;
    if (!in_place && !fresh) move(rows, age, true, w);
    for (std::size_t l = 0; l < packed_.size(); ++l) {
      if (l > 0) {
        project_columns(kernels_, packed_[l].front().input, w.next_[l - 1].data(), width_,
                        w.p_[l].data(), width_, vectors);
      }
      const StepInput input{w.p_[l].data(), width_, col_.data()};
      if (!in_place) {
        step(l, input, vectors, fresh ? nullptr : w.h_[l].data(), w.c_[l].data(), w.next_[l].data(),
             w);
        continue;
      }
      State& s = state(rows.block, window_slot(rows.n.front() - age, window_), l);
      step(l, input, vectors, fresh ? nullptr : s.h.data(), s.c.data(), w.next_[l].data(), w);
    }
    if (age + 1 == window_) break;  // the completed window is not needed again
    if (!in_place) {
      move(rows, age, false, w);
      continue;
    }
    for (std::size_t l = 0; l < packed_.size(); ++l) {
      State& s = state(rows.block, window_slot(rows.n.front() - age, window_), l);
      // The layer above has read next_ by now; the slot takes it and leaves its old buffer.
      std::swap(s.h, w.next_[l]);
    }
  }
  return w.next_.back().data();
}

// Between the slots that hold the windows of `age` and the workspace's adjacent columns.
void BlockWindows::move(const BlockRows& rows, std::int64_t age, bool gather, Workspace& w) {
  for (std::size_t l = 0; l < packed_.size(); ++l) {
    const LayerSpec& spec = stack_.specs()[l];
    for (std::size_t i = 0; i < rows.columns.size(); ++i) {
      State& s = state(rows.block, window_slot(rows.n[i] - age, window_), l);
      const std::int64_t from = rows.columns[i], to = static_cast<std::int64_t>(i);
      for (std::int64_t j = 0; j < spec.state_size(); ++j) {
        float& kept = s.h.data()[j * width_ + from];
        if (gather) {
          w.h_[l].data()[j * width_ + to] = kept;
        } else {
          kept = w.next_[l].data()[j * width_ + to];
        }
      }
      for (std::int64_t j = 0; j < spec.hidden_size && !s.c.empty(); ++j) {
        float &kept = s.c.data()[j * width_ + from], &moved = w.c_[l].data()[j * width_ + to];
        if (gather) {
          moved = kept;
        } else {
          kept = moved;
        }
      }
    }
  }
}

template <class Visit>
void BlockWindows::for_state(std::int64_t entity, std::int64_t n, Visit visit) {
  const std::int64_t column = entity % width_;
  for (std::int64_t age = 1; age < window_; ++age) {
    for (std::size_t l = 0; l < packed_.size(); ++l) {
      const LayerSpec& spec = stack_.specs()[l];
      State& s = state(entity / width_, window_slot(n - age + 1, window_), l);
      for (std::int64_t j = 0; j < spec.state_size(); ++j) visit(s.h.data()[j * width_ + column]);
      for (std::int64_t j = 0; j < spec.hidden_size && !s.c.empty(); ++j) {
        visit(s.c.data()[j * width_ + column]);
      }
    }
  }
}

void BlockWindows::save(std::int64_t entity, std::int64_t n, float* out) {
  for_state(entity, n, [&](float& value) { *out++ = value; });
}

void BlockWindows::restore(std::int64_t entity, std::int64_t n, const float* in) {
  for_state(entity, n, [&](float& value) { value = *in++; });
}

}  // namespace slidecell
