#include "slidecell/windows.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/parallel.h"
#include "cpu/threads.h"
#include "windows/require_pointer.h"
#include "windows/window_copier.h"

namespace slidecell {
namespace {

// A thread copies this much output, 1 MB, or more: below it costs more to wake than it saves, above
// all where other programs keep the cores busy (a batch of 2,048 windows took 20 times as long on
// two threads).
constexpr std::int64_t kFloatsPerPart = std::int64_t{1} << 18;

// Windows that are looked up at once, while those before them are copied: their rows arrive from
// memory meanwhile. 4 to 32 are equal within the noise.
constexpr std::int64_t kAhead = 16;

// copy(begin, end) for parts of the windows 0 .. n-1, in parallel. Denormals stay as they are,
// because a window is the series' own values.
template <class Copy>
void copy_parts(const WindowCopier& copier, std::int64_t n, int num_threads, Copy copy) {
  const std::int64_t each =
      std::max<std::int64_t>(1, kFloatsPerPart / std::max<std::int64_t>(1, copier.floats()));
  const std::int64_t parts = (n + each - 1) / each;
  parallel_for<KeepDenormals>(
      parts, num_threads, [] { return 0; },
      [&](int, std::int64_t part) {
        copy(part * each, std::min(n, (part + 1) * each));
        copier.end();
      });
}

// Windows 0 .. n-1, wherever they begin: starts_of(i, count, starts) writes the first rows of
// windows i .. i+count-1.
template <class StartsOf>
void copy_scattered(const WindowCopier& copier, std::int64_t n, int num_threads,
                    StartsOf starts_of) {
  copy_parts(copier, n, num_threads, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t buffers[2][kAhead];
    std::int64_t *starts = buffers[0], *next = buffers[1];
    std::int64_t count = std::min(kAhead, end - begin);
    starts_of(begin, count, starts);
    for (std::int64_t i = begin; i < end; i += kAhead) {
      const std::int64_t ahead = std::min(kAhead, end - i - count);
      starts_of(i + count, ahead, next);
      for (std::int64_t k = 0; k < count; ++k) {
        if (k < ahead) copier.prefetch(next[k]);
        copier.copy(i + k, starts[k]);
      }
      std::swap(starts, next);
      count = ahead;
    }
  });
}

// True if all are in 0 .. size-1.
bool all_below(Span<const std::int64_t> values, std::int64_t size) {
  bool outside = false;
  for (const std::int64_t value : values) outside |= value < 0 || value >= size;
  return !outside;
}

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

// Null arrays are refused, unless there is nothing to copy.
void check_arrays(const SeriesView& series, std::int64_t windows, const float* x) {
  const std::int64_t values = series.cols > 0 ? windows : 0;
  require_pointer(series.data, values, "series");
  require_pointer(x, values, "x");
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
  make_buckets();
}

void WindowPlan::make_buckets() {
  const std::int64_t last = size() - 1, entities = num_entities();
  if (last < 0) return;
  while ((last >> bucket_shift_) >= 2 * entities) ++bucket_shift_;
  buckets_.reserve(static_cast<std::size_t>(last >> bucket_shift_) + 1);
  std::int64_t g = 0;  // of the bucket's first window
  for (std::int64_t bucket = 0; bucket <= last >> bucket_shift_; ++bucket) {
    const std::int64_t first = bucket << bucket_shift_;
    while (first_window_[static_cast<std::size_t>(g + 1)] <= first) ++g;
    buckets_.push_back(g);
  }
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    const std::int64_t end = b + 1 < buckets_.size() ? buckets_[b + 1] : entities - 1;
    bucket_entities_ = std::max(bucket_entities_, end - buckets_[b] + 1);
  }
  // So that a search of `bucket_entities_` stays within the entities.
  for (std::int64_t& first : buckets_) first = std::min(first, entities - bucket_entities_);
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

// A binary search for all indices at once and without branches: what one waits for, another does.
// Branches are mispredicted at every other comparison: with them a random window of 196 bytes cost
// 66 ns, of which the copy is 10.
void WindowPlan::find_starts(const std::int64_t* indices, std::int64_t n,
                             std::int64_t* starts) const {
  std::int64_t entity[kAhead];
  for (std::int64_t k = 0; k < n; ++k) {
    entity[k] = buckets_[static_cast<std::size_t>(indices[k] >> bucket_shift_)];
  }
  // The entity is one of the `left` from entity[k] on: the last that begins at or before the index.
  for (std::int64_t left = bucket_entities_, half; left > 1; left -= half) {
    half = left / 2;
    for (std::int64_t k = 0; k < n; ++k) {
      const bool later = first_window_[static_cast<std::size_t>(entity[k] + half)] <= indices[k];
      entity[k] += half & -static_cast<std::int64_t>(later);
    }
  }
  for (std::int64_t k = 0; k < n; ++k) {
    const auto g = static_cast<std::size_t>(entity[k]);
    starts[k] = offsets_[g] + (indices[k] - first_window_[g]) * stride_;
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
  require_pointer(indices.data(), static_cast<std::int64_t>(indices.size()), "indices");
  check_arrays(series, static_cast<std::int64_t>(indices.size()), x);
  const int threads = resolve_threads(num_threads);
  if (!all_below(indices, size())) {
    for (const std::int64_t index : indices) {
      if (index >= 0 && index < size()) continue;
      throw std::out_of_range("indices: expected windows 0 <= index < " + std::to_string(size()) +
                              ", got " + std::to_string(index));
    }
  }
  const auto n = static_cast<std::int64_t>(indices.size());
  const WindowCopier copier(series, n, window_, horizon_, x, y);
  copy_scattered(copier, n, threads, [&](std::int64_t i, std::int64_t count, std::int64_t* starts) {
    find_starts(indices.data() + i, count, starts);
  });
}

void WindowPlan::gather_all(const SeriesView& series, float* x, float* y, int num_threads) const {
  check_series(series);
  check_arrays(series, size(), x);
  const int threads = resolve_threads(num_threads);
  const WindowCopier copier(series, size(), window_, horizon_, x, y);
  copy_parts(copier, size(), threads, [&](std::int64_t begin, std::int64_t end) {
    auto g = static_cast<std::size_t>(entity_of(begin));
    while (begin < end) {  // the windows of an entity
      while (first_window_[g + 1] <= begin) ++g;
      const std::int64_t count = std::min(end, first_window_[g + 1]) - begin;
      copier.copy_run(begin, count, offsets_[g] + (begin - first_window_[g]) * stride_, stride_);
      begin += count;
    }
  });
}

void gather_rows(const SeriesView& series, Span<const std::int64_t> starts, std::int64_t window,
                 std::int64_t horizon, float* x, float* y, int num_threads) {
  check_at_least("window", window, 1);
  check_at_least("horizon", horizon, 0);
  require_pointer(starts.data(), static_cast<std::int64_t>(starts.size()), "starts");
  check_arrays(series, static_cast<std::int64_t>(starts.size()), x);
  const int threads = resolve_threads(num_threads);
  // Not window + horizon, which may exceed 64 bits.
  const std::int64_t past =
      std::max<std::int64_t>(0, horizon > series.rows ? 0 : series.rows - horizon - window + 1);
  if (!all_below(starts, past)) {
    for (const std::int64_t start : starts) {
      if (start >= 0 && start < past) continue;
      throw std::out_of_range("starts: expected rows 0 <= start < " + std::to_string(past) +
                              ", got " + std::to_string(start));
    }
  }
  const auto n = static_cast<std::int64_t>(starts.size());
  const WindowCopier copier(series, n, window, horizon, x, y);
  copy_scattered(copier, n, threads, [&](std::int64_t i, std::int64_t count, std::int64_t* out) {
    std::copy_n(starts.data() + i, count, out);
  });
}

}  // namespace slidecell
