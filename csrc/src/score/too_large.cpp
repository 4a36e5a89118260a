#include "score/too_large.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cpu/parallel.h"
#include "windows/cast_rows.h"

namespace slidecell {
namespace {

struct RowRange {
  std::int64_t first, end;
};

// Rows that are read at once, so that threads share them and their float32 copy stays within 1 MB.
std::int64_t rows_at_once(std::int64_t columns) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 18) / columns, 1, 1024);
}

// The rows that no window covers: of short entities, after the last window, between two.
template <class Visit>
void for_uncovered_rows(const WindowPlan& plan, Visit visit) {
  const std::int64_t span = plan.window() + plan.horizon(), stride = plan.stride();
  for (std::int64_t g = 0; g < plan.num_entities(); ++g) {
    const auto i = static_cast<std::size_t>(g);
    const std::int64_t first = plan.offsets()[i], end = plan.offsets()[i + 1];
    const std::int64_t windows = plan.first_window()[i + 1] - plan.first_window()[i];
    for (std::int64_t w = 0; w + 1 < windows && stride > span; ++w) {
      visit(first + w * stride + span, first + (w + 1) * stride);
    }
    visit(windows == 0 ? first : first + (windows - 1) * stride + span, end);
  }
}

bool is_infinite(float x) { return std::abs(x) > std::numeric_limits<float>::max(); }

// No value of this magnitude or below is too large, whatever its column. Half of float32's range
// leaves room for the rounding of (x - center) / scale.
double surely_held(const ColumnScaler* scaler, std::int64_t cols) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (!scaler) return kMost;
  double limit = std::numeric_limits<double>::infinity();
  for (std::int64_t c = 0; c < cols; ++c) {
    limit = std::min(limit, kMost / 2 * std::abs(scaler->scale[c]) - std::abs(scaler->center[c]));
  }
  return limit;
}

// Whether a value lies beyond the limit (0 or more) or is NaN: by the bits, which magnitudes share
// their order with; integer work that vectorises.
template <class T, class Bits>
bool any_beyond(const char* values, std::int64_t n, double most) {
  static_assert(sizeof(T) == sizeof(Bits));
  constexpr int kSign = 8 * sizeof(Bits) - 1;
  const auto limit =
      static_cast<T>(std::min(most, static_cast<double>(std::numeric_limits<T>::max())));
  Bits limit_bits, any = 0;
  std::memcpy(&limit_bits, &limit, sizeof limit);
  for (std::int64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, values + i * static_cast<std::ptrdiff_t>(sizeof bits), sizeof bits);
    any |= limit_bits - (bits & ~(Bits{1} << kSign));
  }
  return any >> kSign != 0;
}

// False: no row of the range is too large. Far cheaper than casting the rows.
bool may_be_too_large(const SeriesView& series, const RowRange& range, double limit) {
  const bool f64 = series.dtype == DType::f64;
  const std::ptrdiff_t size = f64 ? 8 : 4;
  if ((!f64 && series.dtype != DType::f32) || series.col_stride != size || limit < 0) return true;
  const bool one_run = series.row_stride == size * series.cols;
  const std::int64_t step = one_run ? range.end - range.first : 1;
  for (std::int64_t row = range.first; row < range.end; row += step) {
    const char* values = static_cast<const char*>(series.data) + row * series.row_stride;
    const std::int64_t n = step * series.cols;
    if (f64 ? any_beyond<double, std::uint64_t>(values, n, limit)
            : any_beyond<float, std::uint32_t>(values, n, limit)) {
      return true;
    }
  }
  return false;
}

// One thread's rows.
class Marker {
 public:
  Marker(const ModelParts& model, const SeriesView& series, bool per_feature, float* out)
      : model_(model),
        series_(series),
        per_feature_(per_feature),
        surely_held_(surely_held(model.scaler(), series.cols)),
        x_(static_cast<std::size_t>(rows_at_once(series.cols) * series.cols)),
        row_(static_cast<std::size_t>(series.cols)),
        states_(static_cast<std::size_t>(rows_at_once(series.cols))),
        out_(out) {}

  void mark(const RowRange& range) {
    if (!may_be_too_large(series_, range, surely_held_)) return;
    const std::int64_t n = range.end - range.first, F = series_.cols;
    const RowState all =
        cast_rows(series_, range.first, n, model_.scaler(), x_.data(), F, 1, states_.data());
    if ((all & kTooLargeRow) == 0) return;
    for (std::int64_t r = 0; r < n; ++r) {
      if (states_[static_cast<std::size_t>(r)] == kTooLargeRow) mark_row(range.first + r);
    }
  }

 private:
  void mark_row(std::int64_t row) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    if (!per_feature_) {
      out_[row] = kInfinity;
      return;
    }
    cast_rows(series_, row, 1, model_.scaler(), row_.data(), series_.cols, 1, nullptr);
    const std::vector<std::int32_t>& targets = model_.targets;
    const auto at = [&](std::int32_t f) { return row_[static_cast<std::size_t>(f)]; };
    const bool none = std::none_of(targets.begin(), targets.end(),
                                   [&](std::int32_t f) { return is_infinite(at(f)); });
    float* out = out_ + row * model_.num_targets();
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (none || is_infinite(at(targets[i]))) out[i] = kInfinity;
    }
  }

  const ModelParts& model_;
  const SeriesView& series_;
  bool per_feature_;
  double surely_held_;
  std::vector<float> x_, row_;  // [rows_at_once][F], [F]
  std::vector<RowState> states_;
  float* out_;
};

}  // namespace

void score_too_large_rows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                          bool per_feature, bool seen, int num_threads, float* out) {
  if (!holds_too_large(series, model.scaler())) return;
  std::vector<RowRange> ranges;
  const std::int64_t most = rows_at_once(series.cols);
  const auto add = [&](std::int64_t first, std::int64_t end) {
    // Neighbouring short entities are one range.
    if (!ranges.empty() && ranges.back().end == first) {
      const std::int64_t joined = std::min(end, ranges.back().first + most);
      ranges.back().end = first = std::max(first, joined);
    }
    for (; first < end; first += most) ranges.push_back({first, std::min(end, first + most)});
  };
  if (seen) {
    add(0, series.rows);
  } else {
    for_uncovered_rows(plan, add);
  }
  parallel_for(
      static_cast<std::int64_t>(ranges.size()), num_threads,
      [&] { return Marker(model, series, per_feature, out); },
      [&](Marker& marker, std::int64_t i) { marker.mark(ranges[static_cast<std::size_t>(i)]); });
}

}  // namespace slidecell
