#include "slidecell/windows.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu.h"
#include "rows.h"

namespace slidecell {
namespace {

// Below this much output, 1 MB, a thread costs more to wake than it saves, above all where other
// programs keep the cores busy: a batch of 2,048 windows took 20 times as long on two threads.
constexpr std::int64_t kMinFloatsPerThread = std::int64_t{1} << 18;

// A window of a few hundred bytes is copied faster by moves of 16 bytes in line, the last of which
// overlaps the one before, than by a call of memcpy.
inline void copy_floats(float* out, const float* in, std::int64_t n) {
  constexpr std::int64_t kMove = 4, kInLine = 128;
  if (n < kMove || n > kInLine) {
    std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  for (std::int64_t i = 0; i + kMove <= n; i += kMove) {
    std::memcpy(out + i, in + i, kMove * sizeof(float));
  }
  std::memcpy(out + n - kMove, in + n - kMove, kMove * sizeof(float));
}

// Adjacent rows of a series as float32, row-major.
class RowCopier {
 public:
  explicit RowCopier(const SeriesView& series)
      : series_(series),
        plain_(series.dtype == DType::f32 && series.col_stride == sizeof(float) &&
               series.row_stride == series.cols * static_cast<std::ptrdiff_t>(sizeof(float)) &&
               reinterpret_cast<std::uintptr_t>(series.data) % alignof(float) == 0) {}

  void copy(std::int64_t first, std::int64_t n, float* out) const {
    if (plain_) {
      const auto* rows = static_cast<const float*>(series_.data);
      copy_floats(out, rows + first * series_.cols, n * series_.cols);
    } else {
      copy_rows(series_, first, n, nullptr, out, series_.cols, 1, nullptr);
    }
  }

 private:
  const SeriesView& series_;
  bool plain_;
};

void check_offsets(const std::vector<std::int64_t>& offsets) {
  if (offsets.empty() || offsets.front() != 0) {
    throw std::invalid_argument("offsets: expected 0 first, got " +
                                (offsets.empty() ? "none" : std::to_string(offsets.front())));
  }
  const auto drop = std::adjacent_find(offsets.begin(), offsets.end(), std::greater<>());
  if (drop != offsets.end()) {
    throw std::invalid_argument("offsets: expected numbers that never decrease, got " +
                                std::to_string(drop[0]) + " then " + std::to_string(drop[1]) +
                                " at position " + std::to_string(drop - offsets.begin() + 1));
  }
}

void check_at_least(const char* name, std::int64_t value, std::int64_t least) {
  if (value < least) {
    throw std::invalid_argument(std::string(name) + ": expected at least " + std::to_string(least) +
                                ", got " + std::to_string(value));
  }
}

}  // namespace

WindowPlan::WindowPlan(std::vector<std::int64_t> offsets, std::int64_t window, std::int64_t horizon,
                       std::int64_t stride)
    : offsets_(std::move(offsets)), window_(window), horizon_(horizon), stride_(stride) {
  check_offsets(offsets_);
  check_at_least("window", window, 1);
  check_at_least("horizon", horizon, 0);
  check_at_least("stride", stride, 1);
  if (horizon > std::numeric_limits<std::int64_t>::max() - window) {
    throw std::invalid_argument("horizon: window + horizon exceeds 64 bits, got " +
                                std::to_string(horizon));
  }
  const std::int64_t span = window + horizon;
  // An entity has at most as many windows as rows, so this sum stays below offsets.back().
  first_window_.reserve(offsets_.size());
  first_window_.push_back(0);
  for (std::size_t g = 0; g + 1 < offsets_.size(); ++g) {
    const std::int64_t n = offsets_[g + 1] - offsets_[g];
    first_window_.push_back(first_window_.back() + (n < span ? 0 : (n - span) / stride + 1));
  }
}

std::int64_t WindowPlan::entity_of(std::int64_t index) const {
  // The last entity that begins at or before `index`: entities without windows lie before it.
  const auto next = std::upper_bound(first_window_.begin(), first_window_.end(), index);
  return next - first_window_.begin() - 1;
}

std::int64_t WindowPlan::start(std::int64_t index) const {
  const auto g = static_cast<std::size_t>(entity_of(index));
  return offsets_[g] + (index - first_window_[g]) * stride_;
}

// Windows number index_of(0) .. index_of(n-1), in parallel. Nothing in the loop throws or
// allocates.
template <class IndexOf>
void WindowPlan::copy_windows(const SeriesView& series, std::int64_t n, IndexOf index_of, float* x,
                              float* y, int num_threads) const {
  const std::int64_t cols = series.cols;
  const std::int64_t targets = y != nullptr ? horizon_ : 0;  // rows of y per window
  const std::int64_t useful = n * (window_ + targets) * cols / kMinFloatsPerThread + 1;
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads, useful));
  if (threads > 1) note_parallel_region();
  const RowCopier rows(series);
  // Neighbouring indices mostly share their entity: a thread looks at its last one before it
  // searches. Denormals stay as they are, because a window is the series' own values: parallel_for
  // would flush them.
  std::size_t g = 0;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) firstprivate(g)
#endif
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = index_of(i);
    if (index < first_window_[g] || index >= first_window_[g + 1]) {
      g = static_cast<std::size_t>(entity_of(index));
    }
    const std::int64_t first = offsets_[g] + (index - first_window_[g]) * stride_;
    rows.copy(first, window_, x + i * window_ * cols);
    if (targets > 0) rows.copy(first + window_, targets, y + i * targets * cols);
  }
}

void WindowPlan::check_series(const SeriesView& series) const {
  if (series.rows != num_rows()) {
    throw std::invalid_argument("series: expected " + std::to_string(num_rows()) +
                                " rows (where offsets end), got " + std::to_string(series.rows));
  }
}

void WindowPlan::gather(const SeriesView& series, Span<const std::int64_t> indices, float* x,
                        float* y, int num_threads) const {
  check_series(series);
  const int threads = resolve_threads(num_threads);
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size()) {
      throw std::out_of_range("indices: expected windows 0 <= index < " + std::to_string(size()) +
                              ", got " + std::to_string(index));
    }
  }
  copy_windows(
      series, static_cast<std::int64_t>(indices.size()),
      [&](std::int64_t i) { return indices[static_cast<std::size_t>(i)]; }, x, y, threads);
}

void WindowPlan::gather_all(const SeriesView& series, float* x, float* y, int num_threads) const {
  check_series(series);
  const int threads = resolve_threads(num_threads);
  copy_windows(series, size(), [](std::int64_t i) { return i; }, x, y, threads);
}

}  // namespace slidecell
