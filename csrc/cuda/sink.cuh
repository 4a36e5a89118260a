// What becomes of predictions and states: errors are reduced on the spot, window by window, in the
// CPU's order (src/kernels/error-inl.h), so that only scores are written.
#pragma once

#include "windows.cuh"

namespace slidecell {

// One window of a tile, as the thread sees it that owns its results.
struct OwnedWindow {
  int row = 0;
  int64 window = 0;
  bool exists = false;
  bool complete = false;
};

// Takes a window's predictions one after the other, from predicted row `first_row` on.
class WindowSink {
 public:
  __device__ WindowSink(const SeriesArgs& series, const WindowArgs& windows, const SinkArgs& sink)
      : series_(series), windows_(windows), sink_(sink) {}

  __device__ __forceinline__ void begin(const OwnedWindow& owned) {
    owned_ = owned;
    row_ = sink_.first_row;
    target_ = 0;
    total_ = row_sum_ = 0.0f;
    if (sink_.sink == kPredict && sink_.complete && owned.exists) {
      sink_.complete[owned.window - sink_.first_window] = owned.complete;
    }
  }

  __device__ __forceinline__ void take(float prediction) {
    if (owned_.exists) use(prediction);
    if (++target_ == sink_.targets) {
      target_ = 0;
      ++row_;
      // Two sums, for the accuracy of long ones: over a row's targets and over the rows.
      total_ = total_ + row_sum_;
      row_sum_ = 0.0f;
    }
  }

  __device__ __forceinline__ void end() {
    if (sink_.sink != kScore || !owned_.exists || !owned_.complete) return;
    sink_.out[score_row()] = total_ * sink_.factor;
  }

 private:
  __device__ __forceinline__ int predicted_rows() const {
    return windows_.horizon > 0 ? windows_.horizon : windows_.window;
  }
  __device__ __forceinline__ int64 score_row() const {
    return static_cast<int64>(owned_.row) + windows_.window + windows_.horizon - 1;
  }
  __device__ __forceinline__ float combine(float error, float sum) const {
    return sink_.absolute ? sum + absolute(error) : fma(error, error, sum);
  }

  __device__ __forceinline__ void use(float prediction) {
    if (sink_.sink == kPredict) {
      const int64 w = owned_.window - sink_.first_window;
      float value = prediction;
      if (sink_.center) {
        value = static_cast<float>(static_cast<double>(prediction) * sink_.scale[target_] +
                                   sink_.center[target_]);
      }
      sink_.out[(w * predicted_rows() + row_) * sink_.targets + target_] =
          owned_.complete ? value : not_a_number();
      return;
    }
    if (!owned_.complete) return;
    const int64 truth_row =
        static_cast<int64>(owned_.row) + (windows_.horizon > 0 ? windows_.window : 0) + row_;
    const float truth = series_.x[truth_row * series_.features + sink_.target[target_]];
    const float error = prediction - truth;
    if (sink_.sink == kScore) {
      row_sum_ = combine(error, row_sum_);
      return;
    }
    // The sums of a window's features lie in the output itself, which no other thread touches.
    float* out = sink_.out + score_row() * sink_.targets + target_;
    const float sum = combine(error, row_ == sink_.first_row ? 0.0f : *out);
    *out = row_ + 1 == predicted_rows() ? sum * sink_.factor : sum;
  }

  const SeriesArgs& series_;
  const WindowArgs& windows_;
  const SinkArgs& sink_;
  OwnedWindow owned_;
  int row_ = 0, target_ = 0;
  float total_ = 0.0f, row_sum_ = 0.0f;
};

}  // namespace slidecell
