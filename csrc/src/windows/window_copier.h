// Copies windows and their targets out of a series, as float32.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "slidecell/series.hpp"
#include "windows/cast_rows.h"
#include "windows/copy_floats.h"

namespace slidecell {

class WindowCopier {
 public:
  // For n windows: x [n, window, F] and, unless y is null, y [n, horizon, F].
  WindowCopier(const SeriesView& series, std::int64_t n, std::int64_t window, std::int64_t horizon,
               float* x, float* y);

  // Floats written per window.
  std::int64_t floats() const { return (window_ + targets_) * series_.cols; }

  // Asks for the first lines of the window at row `start`; those that follow are then fetched by
  // the hardware, which sees a sequence. Inlined, or GCC 12 takes it for a function without effect
  // and removes the calls.
  [[gnu::always_inline]] void prefetch(std::int64_t start) const {
    constexpr std::ptrdiff_t kLine = 64, kMost = 1024;
    const std::ptrdiff_t step = series_.row_stride;
    const std::ptrdiff_t bytes = (window_ + targets_) * (step < 0 ? -step : step);
    const std::int64_t low = step < 0 ? start + window_ + targets_ - 1 : start;
    const char* first = static_cast<const char*>(series_.data) + low * step;
    for (std::ptrdiff_t at = 0; at < std::min(bytes, kMost); at += kLine) {
      __builtin_prefetch(first + at);
    }
  }

  // Window i, which begins at row `start`.
  void copy(std::int64_t i, std::int64_t start) const {
    copy_rows_to(start, window_, x_ + i * window_ * series_.cols);
    if (targets_ > 0) copy_rows_to(start + window_, targets_, y_ + i * targets_ * series_.cols);
  }

  // Windows i .. i+count-1, which begin at rows start, start + stride, ...
  void copy_run(std::int64_t i, std::int64_t count, std::int64_t start, std::int64_t stride) const;

  // To be called by the thread that copied, when it is done.
  void end() const {
    if (streams_) end_streaming();
  }

 private:
  void copy_rows_to(std::int64_t first, std::int64_t n, float* out) const {
    const std::int64_t cols = series_.cols;
    if (!plain_) {
      cast_rows(series_, first, n, nullptr, out, cols, 1, nullptr);
    } else if (streams_ && n * cols >= kStreamedPiece) {
      stream_floats(out, static_cast<const float*>(series_.data) + first * cols, n * cols);
    } else {
      copy_floats(out, static_cast<const float*>(series_.data) + first * cols, n * cols);
    }
  }

  // Targets of a few bytes, written between windows, leave the core as parts of lines where they
  // go past the cache too: 6.5 instead of 8 GB/s.
  static constexpr std::int64_t kStreamedPiece = 32;

  SeriesView series_;
  std::int64_t window_, targets_;  // rows of x and of y
  float *x_, *y_;
  bool plain_;    // adjacent rows of aligned float32
  bool streams_;  // past the cache
};

}  // namespace slidecell
