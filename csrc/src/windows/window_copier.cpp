#include "windows/window_copier.h"

namespace slidecell {
namespace {

// From this much output, 24 MB, windows are stored past the cache: on a machine with 32 MB of
// last-level cache that is slower at 16 MB (0.86) and faster at 32 MB (1.35) and above (1.3
// to 1.7).
constexpr std::int64_t kStreamFloats = std::int64_t{6} << 20;

bool is_plain(const SeriesView& series) {
  return series.dtype == DType::f32 && series.col_stride == sizeof(float) &&
         series.row_stride == series.cols * static_cast<std::ptrdiff_t>(sizeof(float)) &&
         reinterpret_cast<std::uintptr_t>(series.data) % alignof(float) == 0;
}

}  // namespace

WindowCopier::WindowCopier(const SeriesView& series, std::int64_t n, std::int64_t window,
                           std::int64_t horizon, float* x, float* y)
    : series_(series),
      window_(window),
      targets_(y != nullptr ? horizon : 0),
      x_(x),
      y_(y),
      plain_(is_plain(series)),
      streams_(n * floats() >= kStreamFloats) {}

void WindowCopier::copy_run(std::int64_t i, std::int64_t count, std::int64_t start,
                            std::int64_t stride) const {
  constexpr std::int64_t kCastFloats = 8192;  // 32 KB of stack
  const std::int64_t rows = kCastFloats / std::max<std::int64_t>(1, series_.cols);
  const std::int64_t span = window_ + targets_;
  if (plain_ || stride >= span || rows < span + stride) {
    for (std::int64_t k = 0; k < count; ++k) copy(i + k, start + k * stride);
    return;
  }
  // Neighbours share rows: each is cast once, into a block from which the windows are copied.
  const std::int64_t fit = (rows - span) / stride + 1;
  float block[kCastFloats];
  for (std::int64_t done = 0; done < count; done += fit) {
    const std::int64_t n = std::min(fit, count - done);
    const std::int64_t needed = (n - 1) * stride + span;
    cast_rows(series_, start + done * stride, needed, nullptr, block, series_.cols, 1, nullptr);
    WindowCopier from = *this;
    from.series_ = SeriesView(block, needed, series_.cols);
    from.plain_ = true;
    from.copy_run(i + done, n, 0, stride);
  }
}

}  // namespace slidecell
