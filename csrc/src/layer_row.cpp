#include "layer_row.h"

#include <algorithm>

namespace slidecell {

std::int64_t LayerRow::scratch_size(const KernelTable& kernels, const LayerSpec& spec) {
  return (2 * spec.gates() + 4) * round_up(spec.hidden_size, kernels.lanes);
}

LayerRow::LayerRow(const KernelTable& kernels, const LayerSpec& spec, const PackedDirection& packed,
                   float* scratch)
    : kernels_(kernels), spec_(spec), packed_(packed) {
  const std::int64_t padded = round_up(spec.hidden_size, kernels.lanes);
  sums_ = scratch;
  p_ = sums_ + spec.gates() * padded;
  h_new_ = p_ + spec.gates() * padded;
  update_ = h_new_ + padded;
  candidate_sums_ = update_ + padded;
  projected_ = candidate_sums_ + padded;
}

void LayerRow::project(const AlignedFloats& w, std::int64_t size, std::int64_t depth,
                       std::int64_t gates, const float* x, float* out) const {
  kernels_.project_row({w.data(), ceil_div(size, kernels_.lanes), depth, gates, x, out});
}

void LayerRow::prepare(const float* h) {
  const std::int64_t gates = packed_.candidate_row.empty() ? spec_.gates() : 2;
  project(packed_.recurrent_row, spec_.hidden_size, spec_.state_size(), gates, h, sums_);
  prepared_ = sums_;
}

void LayerRow::prefetch() const {
  constexpr std::int64_t kLineFloats = 16;
  const AlignedFloats& w = packed_.input.row;
  for (std::int64_t i = 0; i < w.size(); i += kLineFloats) __builtin_prefetch(w.data() + i, 0, 2);
}

void LayerRow::read(const float* x) {
  project(packed_.input.row, spec_.hidden_size, spec_.input_size, spec_.gates(), x, p_);
}

void LayerRow::finish(const float* h, float* c, float* h_out) {
  const std::int64_t H = spec_.hidden_size;
  CellRow a{};
  a.hidden = H;
  a.sums = prepared_;
  a.p = p_;
  a.b_hn = packed_.b_hn.data();
  a.h = h;
  a.c = c;
  // Cells read and write unit by unit, so h_out may be h; the projection needs all of h at once.
  float* h_new = spec_.proj_size > 0 ? h_new_ : h_out;
  a.h_out = h_new;
  a.update = update_;
  a.activation = spec_.activation;
  a.recurrent_activation = spec_.recurrent_activation;
  if (spec_.cell == Cell::lstm) {
    kernels_.lstm_cell_row(a);
  } else if (spec_.reset_after) {
    kernels_.gru_cell_row(a);
  } else {
    a.h_out = h_new_;
    kernels_.gru_reset_row(a);
    if (prepared_) {
      project(packed_.candidate_row, H, H, 1, h_new_, candidate_sums_);
      a.sums = candidate_sums_;
    }
    a.h_out = h_new;
    kernels_.gru_candidate_row(a);
  }
  if (spec_.proj_size > 0) {
    project(packed_.projection.row, spec_.proj_size, H, 1, h_new_, projected_);
    std::copy_n(projected_, spec_.proj_size, h_out);
  }
}

void LayerRow::step(const float* x, const float* h, float* c, float* h_out) {
  if (h) {
    prepare(h);
  } else {
    prepare_zero();
  }
  read(x);
  finish(h, c, h_out);
}

void project_row(const KernelTable& kernels, const PackedLinear& linear, const float* x,
                 float* out) {
  kernels.project_row({linear.row.data(), ceil_div(linear.rows / linear.gates, kernels.lanes),
                       linear.depth, linear.gates, x, out});
}

}  // namespace slidecell
