#include "layers/layer_row.h"

#include <algorithm>

namespace slidecell {

std::int64_t LayerRow::scratch_size(const KernelTable& kernels, const LayerSpec& spec) {
  return (2 * spec.gates() + 5) * round_up(spec.hidden_size, kernels.lanes);
}

LayerRow::LayerRow(const KernelTable& kernels, const LayerSpec& spec, const PackedDirection& packed,
                   float* scratch, bool bf16_weights)
    : kernels_(kernels), spec_(spec), packed_(packed), bf16_(bf16_weights || packed.low()) {
  const std::int64_t padded = round_up(spec.hidden_size, kernels.lanes);
  sums_ = scratch;
  p_ = sums_ + spec.gates() * padded;
  h_new_ = p_ + spec.gates() * padded;
  kept_ = h_new_ + padded;
  late_sums_ = kept_ + padded;
  projected_ = late_sums_ + padded;
  codes_ = projected_ + padded;
}

void LayerRow::project(const AlignedFloats& w, const AlignedFloats* w_bf16, std::int64_t size,
                       std::int64_t depth, std::int64_t gates, const float* x, float* out) const {
  kernels_.project_row({w.data(), ceil_div(size, kernels_.lanes), depth, gates, x, out,
                        w_bf16 && bf16_ ? w_bf16->data() : nullptr});
}

void LayerRow::project_codes(const PackedCodes& w, std::int64_t gates, const float* h,
                             float* out) const {
  const std::int64_t H = spec_.hidden_size;
  kernels_.low->code_row(h, H, codes_);
  kernels_.low->project_row({w.view(), ceil_div(H, kernels_.lanes),
                             round_up(H, 4) / kernels_.low->per_word, gates, codes_, out});
}

void LayerRow::prepare(const float* h) {
  prepared_ = sums_;
  if (packed_.low()) return project_codes(packed_.low_row, packed_.recurrent_gates, h, sums_);
  project(packed_.recurrent_row, &packed_.recurrent_row_bf16, spec_.hidden_size, spec_.state_size(),
          packed_.recurrent_gates, h, sums_);
}

void LayerRow::prefetch() const {
  constexpr std::int64_t kLineFloats = 16;
  const auto fetch = [](const float* p, std::int64_t size) {
    for (std::int64_t i = 0; i < size; i += kLineFloats) __builtin_prefetch(p + i, 0, 2);
  };
  const PackedLinear& input = packed_.input;
  if (!bf16_) return fetch(input.row.data(), input.row.size());
  fetch(input.row_bf16.data(), input.row_bf16.size());
  // The biases stand at the head of each float32 panel.
  const std::int64_t bias = input.gates * kernels_.lanes;
  const std::int64_t panel = (1 + input.depth) * bias;
  for (std::int64_t at = 0; at < input.row.size(); at += panel) fetch(input.row.data() + at, bias);
}

void LayerRow::read(const float* x) {
  project(packed_.input.row, &packed_.input.row_bf16, spec_.hidden_size, spec_.input_size,
          spec_.gates(), x, p_);
}

void LayerRow::cell(const LowCellRow& a, bool first) const {
  if (packed_.low()) {
    const LowCellKernels& low = kernels_.low->cells[packed_.form];
    return first ? low.first_row(a) : low.row(a);
  }
  const CellKernels& plain = kernels_.cells[packed_.form];
  first ? plain.first_row(a) : plain.row(a);
}

void LayerRow::finish(const float* h, float* c, float* h_out) {
  const std::int64_t H = spec_.hidden_size;
  LowCellRow a{};
  a.hidden = H;
  a.sums = prepared_;
  a.p = p_;
  a.b_hh = packed_.b_hh.data();
  a.h = h;
  a.c = c;
  // Cells read and write unit by unit, so h_out may be h; the projection needs all of h at once.
  float* h_new = spec_.proj_size > 0 ? h_new_ : h_out;
  a.h_out = h_new;
  a.scratch = kept_;
  a.activation = spec_.activation;
  a.recurrent_activation = spec_.recurrent_activation;
  a.scale = packed_.low_row.scale.data();
  a.scaled = packed_.low_scaled;
  a.coarse = is_coarse(packed_.products);
  if (packed_.late_gates > 0) {
    a.h_out = h_new_;
    cell(a, true);
    if (prepared_ && packed_.low()) {
      project_codes(packed_.low_late_row, packed_.late_gates, h_new_, late_sums_);
    } else if (prepared_) {
      project(packed_.late_row, nullptr, H, H, packed_.late_gates, h_new_, late_sums_);
    }
    if (prepared_) a.sums = late_sums_;
    a.scale = packed_.low_late_row.scale.data();
    a.h_out = h_new;
  }
  cell(a, false);
  if (spec_.proj_size > 0) {
    project(packed_.projection.row, nullptr, spec_.proj_size, H, 1, h_new_, projected_);
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
                       linear.depth, linear.gates, x, out, nullptr});
}

}  // namespace slidecell
