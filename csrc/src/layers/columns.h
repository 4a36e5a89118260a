// The column orientation: one direction of a layer, or a whole stack, over a tile of windows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "weights/stack.h"

namespace slidecell {

// A layer's projected input at one step: [H*G][stride], group v from column col[v] on.
struct StepInput {
  const float* p;
  std::ptrdiff_t stride;
  const std::int32_t* col;  // [vectors]
};

// Columns of a tile: 0, lanes, 2*lanes, ...: where groups of columns lie side by side.
std::vector<std::int32_t> adjacent_columns(const KernelTable& kernels, std::int64_t vectors);

// values [rows][stride]: zero in one column.
template <class T>
void zero_column(AlignedBuffer<T>& values, std::int64_t column, std::ptrdiff_t stride) {
  for (std::int64_t at = column; at < values.size(); at += stride) values.data()[at] = T{};
}

// Calls the kernel: out [rows][stride] = W x + b for all columns of a tile.
void project_columns(const KernelTable& kernels, const PackedLinear& linear, const float* x,
                     std::ptrdiff_t x_stride, float* out, std::ptrdiff_t out_stride,
                     std::int64_t vectors);

// Rows of floats that a step of one direction of a layer takes besides.
std::int64_t step_scratch_rows(const LayerSpec& spec, Products products);

// One step of one direction of a layer, for `vectors` groups of columns.
void step_layer_columns(const KernelTable& kernels, const LayerSpec& spec,
                        const PackedDirection& packed, const StepInput& input, std::int64_t vectors,
                        const float* h,  // [state_size][stride]; null: h and c are zero
                        float* c,  // [H][stride] with a state c: read (unless h is null), written
                        float* h_out,        // [state_size][stride], h only where packed.low()
                        float* unprojected,  // [H][stride] where h is projected
                        float* scratch,      // [step_scratch_rows][stride]
                        std::ptrdiff_t stride);

// One direction of one layer with its state, for a tile of `stride` columns.
class LayerColumns {
 public:
  LayerColumns(const KernelTable& kernels, const LayerSpec& spec, const PackedDirection& packed,
               std::ptrdiff_t stride);

  // The next step starts from h = c = 0.
  void clear() { started_ = false; }
  // The next step starts from h() and c(), which the caller has filled.
  void resume() { started_ = true; }
  // The next step of one column starts from zero.
  void zero(std::int64_t column);

  // One step; returns the new h [state_size][stride].
  const float* step(const StepInput& input, std::int64_t vectors);

  float* h() { return h_.data(); }  // [state_size][stride]
  float* c() { return c_.data(); }  // [H][stride], with a state c
  const LayerSpec& spec() const { return spec_; }
  const PackedDirection& packed() const { return packed_; }

 private:
  const KernelTable& kernels_;
  const LayerSpec& spec_;
  const PackedDirection& packed_;
  std::ptrdiff_t stride_;
  bool started_ = false;
  AlignedFloats h_, h_next_, c_;
  AlignedFloats unprojected_;  // [H][stride] where h is projected
  AlignedFloats scratch_;
};

// Where layer 0 of a stack finds its projected input.
class InputColumns {
 public:
  virtual ~InputColumns() = default;
  // What layer 0's `direction` (0 forward, 1 reverse) reads at its step `step`, projected: the
  // reverse direction reads the last row at step 0.
  virtual StepInput at(std::int64_t step, std::size_t direction) = 0;
};

// The same input at every step (RepeatVector): projected once per window.
class ConstantInput final : public InputColumns {
 public:
  ConstantInput(const KernelTable& kernels, const PackedLayer& layer, std::ptrdiff_t stride);
  void set(const float* x, std::ptrdiff_t x_stride, std::int64_t vectors);  // x [I][x_stride]
  StepInput at(std::int64_t step, std::size_t direction) override;

 private:
  const KernelTable& kernels_;
  const PackedLayer& layer_;
  std::ptrdiff_t stride_;
  std::vector<std::int32_t> col_;
  std::vector<AlignedFloats> p_;  // per direction
};

// Watches a stack run.
class StepSink {
 public:
  virtual ~StepSink() = default;
  // The top layer's h of row t: [output_size][stride]. Rows come in order.
  virtual void on_step(std::int64_t t, const float* h) = 0;
  // A direction of a layer has done its step `step`.
  virtual void on_layer_step(std::size_t /*layer*/, std::size_t /*direction*/,
                             std::int64_t /*step*/, LayerColumns& /*state*/) {}
};

// A stack of layers that runs on a tile of windows.
class TileStack {
 public:
  virtual ~TileStack() = default;
  // The next run starts from zero states.
  virtual void clear() = 0;
  // After a run, or between two of its steps: this column's next step starts from a zero state.
  virtual void zero(std::int64_t column) = 0;
  // Runs `steps` steps for `vectors` groups of columns. Returns the last h of the top layer, both
  // directions' final h stacked: [output_size][stride]. sink may be null.
  virtual const float* run(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                           StepSink* sink) = 0;
  virtual const PackedLayer& bottom() const = 0;
  virtual std::ptrdiff_t stride() const = 0;
};

// A stack on a tile of windows or batch rows, in float32 but for products of codes.
class StackColumns final : public TileStack {
 public:
  StackColumns(const KernelTable& kernels, const Stack& stack, std::int64_t max_vectors,
               Products products = Products::float32);

  // (Or fill each layer's h and c and resume() it.)
  void clear() override;
  void zero(std::int64_t column) override;
  LayerColumns& layer(std::size_t l, std::size_t direction) { return layers_[l][direction]; }

  const float* run(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                   StepSink* sink) override {
    return run(input, steps, vectors, sink, nullptr);
  }
  // lengths [stride] or null: the reverse direction of a column starts at its last valid row.
  const float* run(InputColumns& input, std::int64_t steps, std::int64_t vectors, StepSink* sink,
                   const std::int64_t* lengths);

  std::ptrdiff_t stride() const override { return stride_; }
  const PackedLayer& bottom() const override { return packed_.front(); }

 private:
  const float* run_by_step(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                           StepSink* sink);
  const float* run_by_layer(InputColumns& input, std::int64_t steps, std::int64_t vectors,
                            StepSink* sink, const std::int64_t* lengths);
  void run_direction(std::size_t l, std::size_t direction, InputColumns& input, std::int64_t steps,
                     std::int64_t vectors, StepSink* sink, const std::int64_t* lengths);
  // Whether anything reads layer l's hidden sequence.
  bool keeps(std::size_t l, const StepSink* sink) const { return sink || l + 1 < layers_.size(); }
  StepInput project(std::size_t l, std::size_t direction, const float* x, std::int64_t vectors);

  const KernelTable& kernels_;
  const Stack& stack_;
  const Products products_;
  const std::vector<PackedLayer>& packed_;
  std::ptrdiff_t stride_;
  std::vector<std::int32_t> col_;
  std::vector<std::vector<LayerColumns>> layers_;  // [layers][directions]
  std::vector<AlignedFloats> p_;                   // [layers]: projected input of layers above 0
  AlignedFloats below_, above_;  // bidirectional: hidden sequences [steps][D*state][stride]
  AlignedFloats gathered_;       // bidirectional with lengths: [D*state][stride]
  AlignedFloats last_;           // bidirectional: [D*state][stride]
};

}  // namespace slidecell
