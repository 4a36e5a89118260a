// The row orientation: one direction of a layer, one window or batch row at a time.
#pragma once

#include <cstdint>

#include "weights/pack.h"

namespace slidecell {

// One direction of one layer on a scratch buffer that the caller owns. Allocates nothing.
class LayerRow {
 public:
  static std::int64_t scratch_size(const KernelTable& kernels, const LayerSpec& spec);
  LayerRow(const KernelTable& kernels, const LayerSpec& spec, const PackedDirection& packed,
           float* scratch,  // [scratch_size]
           // Of the input and the recurrent product, where these are not of codes: then the
           // input's are bf16 in any case.
           bool bf16_weights = false);

  // The part of the next step that needs no input: the recurrent sums of h [state_size].
  void prepare(const float* h);
  // The next step starts from h = c = 0.
  void prepare_zero() { prepared_ = nullptr; }

  // Brings the weights of `read` near: what a stream does between rows evicts them from the L2
  // cache, and the next row would wait for them.
  void prefetch() const;

  // Projects the next step's input x [I].
  void read(const float* x);
  // The step that prepare and read made ready, on the h [state_size] and c [H] of prepare.
  // h_out [state_size] may be h.
  void finish(const float* h, float* c, float* h_out);

  // All three; h may be null: h and c are zero.
  void step(const float* x, const float* h, float* c, float* h_out);

  const LayerSpec& spec() const { return spec_; }
  const float* projected_input() const { return p_; }  // [panels][G][lanes], of the last read

 private:
  void project(const AlignedFloats& w, const AlignedFloats* w_bf16, std::int64_t size,
               std::int64_t depth, std::int64_t gates, const float* x, float* out) const;
  void cell(const LowCellRow& a, bool first) const;
  void project_codes(const PackedCodes& w, std::int64_t gates, const float* h, float* out) const;

  const KernelTable& kernels_;
  const LayerSpec& spec_;
  const PackedDirection& packed_;
  bool bf16_;
  const float* prepared_ = nullptr;  // sums_ or null
  float *sums_, *p_;                 // [panels][G][lanes]
  float* h_new_;                     // [H], padded, as all below
  float *kept_, *late_sums_;         // with a late product, which has one gate
  float* projected_;                 // where h is projected
  float* codes_;                     // of h, where the products are of codes
};

// out [rows], padded to whole panels, = W x + b.
void project_row(const KernelTable& kernels, const PackedLinear& linear, const float* x,
                 float* out);

}  // namespace slidecell
