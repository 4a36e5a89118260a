#include "layer_row.h"

#include <algorithm>

namespace slidecell {

void step_layer_row(const KernelTable& kernels, const LayerSpec& spec,
                    const PackedDirection& packed, const float* x, const float* h, float* c,
                    float* h_out, float* scratch) {
  const std::int64_t padded = round_up(spec.hidden_size, kernels.lanes);
  float* p = scratch;                        // [panels][G][lanes]
  float* h_new = p + spec.gates() * padded;  // [H], padded
  StepRow a{};
  a.w = packed.recurrent_row.data();
  a.w_new = packed.candidate_row.data();
  a.b_hn = packed.b_hn.data();
  a.hidden = spec.hidden_size;
  a.state = spec.state_size();
  a.p = p;
  a.h = h;
  a.c = c;
  a.h_out = h_new;
  a.scratch = h_new + padded;
  a.activation = spec.activation;
  a.recurrent_activation = spec.recurrent_activation;

  const std::int64_t panels = padded / kernels.lanes;
  kernels.project_row({packed.input.row.data(), panels, spec.input_size, spec.gates(), x, p});
  if (spec.cell == Cell::lstm) {
    kernels.lstm_step_row(a);
  } else if (spec.reset_after) {
    kernels.gru_step_row(a);
  } else {
    kernels.gru_step_row_reset_before(a);
  }
  if (spec.proj_size > 0) {
    float* projected = h_new + 3 * padded;  // [P], padded
    kernels.project_row({packed.projection.row.data(), ceil_div(spec.proj_size, kernels.lanes),
                         spec.hidden_size, 1, h_new, projected});
    h_new = projected;
  }
  std::copy_n(h_new, spec.state_size(), h_out);
}

}  // namespace slidecell
