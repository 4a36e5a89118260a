#include "score/window_tile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace slidecell {

VectorPlan::VectorPlan(const WindowPlan& plan, std::int64_t lanes) : plan_(plan), lanes_(lanes) {
  const Span<const std::int64_t> windows = plan.first_window();
  first_.reserve(windows.size());
  first_.push_back(0);
  for (std::size_t g = 0; g + 1 < windows.size(); ++g) {
    first_.push_back(first_.back() + ceil_div(windows[g + 1] - windows[g], lanes));
  }
}

WindowVector VectorPlan::at(std::int64_t index) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), index);
  const auto g = static_cast<std::size_t>(after - first_.begin()) - 1;
  const std::int64_t window = (index - first_[g]) * lanes_;
  const std::int64_t windows = plan_.first_window()[g + 1] - plan_.first_window()[g];
  return {static_cast<std::int64_t>(g), window, std::min(lanes_, windows - window)};
}

std::int64_t tile_columns(const KernelTable& kernels, const WindowPlan& plan,
                          std::int64_t max_vectors) {
  // No more vectors, and no more entities whose rows lie apart, than the plan has.
  const Span<const std::int64_t> windows = plan.first_window();
  std::int64_t vectors = 0, runs = 0;
  for (std::size_t g = 0; g + 1 < windows.size() && runs < max_vectors; ++g) {
    const std::int64_t own = ceil_div(windows[g + 1] - windows[g], kernels.lanes);
    vectors += own;
    runs += own > 0 ? 1 : 0;
  }
  const std::int64_t span = plan.window() + plan.horizon();
  const std::int64_t tail = round_up((span - 1) / plan.stride(), kernels.lanes);
  return std::min(plan.stride(), span) *
             (std::min(vectors, max_vectors) * kernels.lanes + runs * tail) +
         kernels.lanes;
}

std::vector<WindowVector> VectorPlan::tile(std::int64_t index, std::int64_t tile_size) const {
  std::vector<WindowVector> vectors;
  const std::int64_t end = std::min(size(), (index + 1) * tile_size);
  for (std::int64_t v = index * tile_size; v < end; ++v) vectors.push_back(at(v));
  return vectors;
}

WindowTile::WindowTile(const KernelTable& kernels, const SeriesView& series,
                       const ColumnScaler* scaler, const WindowPlan& plan, std::int64_t max_vectors)
    : kernels_(kernels),
      series_(series),
      scaler_(scaler),
      plan_(plan),
      span_(plan.window() + plan.horizon()),
      planes_(std::min(plan.stride(), span_)),
      base_(static_cast<std::size_t>(max_vectors)),
      col_(static_cast<std::size_t>(max_vectors)) {
  const std::int64_t most = tile_columns(kernels, plan, max_vectors);
  if (most > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("window: too long for a tile, got " +
                                std::to_string(plan.window()));
  }
  x_.reset(series.cols * most);
  bad_.resize(static_cast<std::size_t>(most));
}

std::int64_t WindowTile::offset(std::int64_t t) const {
  return t % plan_.stride() * plane_ + t / plan_.stride();
}

std::int64_t WindowTile::start(std::int64_t v, std::int64_t lane) const {
  const WindowVector& vector = vectors_[static_cast<std::size_t>(v)];
  return plan_.offsets()[static_cast<std::size_t>(vector.entity)] +
         (vector.window + lane) * plan_.stride();
}

const std::int32_t* WindowTile::columns(std::int64_t t) {
  const auto shift = static_cast<std::int32_t>(offset(t));
  for (std::size_t v = 0; v < vectors_.size(); ++v) col_[v] = base_[v] + shift;
  return col_.data();
}

bool WindowTile::complete(std::int64_t v, std::int64_t lane, std::int64_t rows) const {
  if (states_ == kWholeRow) return true;
  for (std::int64_t t = 0; t < rows; ++t) {
    if (bad_[static_cast<std::size_t>(base_[static_cast<std::size_t>(v)] + offset(t) + lane)]) {
      return false;
    }
  }
  return true;
}

void WindowTile::load(const std::vector<WindowVector>& vectors) {
  vectors_ = vectors;
  runs_.clear();
  std::int64_t column = 0;
  for (std::int64_t v = 0; v < size(); ++v) {
    const auto i = static_cast<std::size_t>(v);
    if (v == 0 || vectors_[i].entity != vectors_[i - 1].entity) {
      if (v > 0) column += round_up((span_ - 1) / plan_.stride(), kernels_.lanes);
      runs_.push_back({v, 0, column});
    }
    ++runs_.back().vectors;
    base_[i] = static_cast<std::int32_t>(column);
    column += kernels_.lanes;
  }
  plane_ = column + round_up((span_ - 1) / plan_.stride(), kernels_.lanes);
  stride_ = planes_ * plane_ + kernels_.lanes;
  states_ = kWholeRow;
  std::fill(bad_.begin(), bad_.begin() + stride_, kWholeRow);
  for (const Run& run : runs_) load_run(run);
}

void WindowTile::load_run(const Run& run) {
  const WindowVector& last = vectors_[static_cast<std::size_t>(run.vector + run.vectors - 1)];
  const std::int64_t first_row = start(run.vector, 0);
  const std::int64_t rows = start(run.vector + run.vectors - 1, last.count - 1) - first_row + span_;
  // A stride beyond the run reads one row per plane, as one of the run's length does.
  const std::int64_t s = std::min(plan_.stride(), rows);
  const std::int64_t width =
      run.vectors * kernels_.lanes + round_up((span_ - 1) / s, kernels_.lanes);
  for (std::int64_t plane = 0; plane < planes_; ++plane) {
    // Rows first_row + plane, + s, + 2s, ... of the run.
    SeriesView view = series_;
    view.data = static_cast<const char*>(series_.data) + (first_row + plane) * series_.row_stride;
    view.row_stride = series_.row_stride * s;
    view.rows = plane < rows ? ceil_div(rows - plane, s) : 0;
    const std::int64_t at = plane * plane_ + run.column;
    float* out = x_.data() + at;
    states_ |= cast_rows(view, 0, view.rows, scaler_, out, 1, stride_,
                         bad_.data() + static_cast<std::size_t>(at));
    // Lanes beyond the last window read these columns; what they hold must only be finite.
    for (std::int64_t f = 0; f < series_.cols; ++f) {
      std::memset(out + f * stride_ + view.rows, 0,
                  static_cast<std::size_t>(width - view.rows) * sizeof(float));
    }
  }
  for (std::int64_t f = 0; f < series_.cols; ++f) {
    std::memset(x_.data() + f * stride_ + planes_ * plane_, 0,
                static_cast<std::size_t>(kernels_.lanes) * sizeof(float));
  }
}

}  // namespace slidecell
