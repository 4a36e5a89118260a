#include "score/window_tile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace slidecell {
namespace {

// A mixed tile holds all rows of each of its windows. Above 16 MB of them none is mixed.
constexpr std::int64_t kMostMixed = std::int64_t{1} << 22;

}  // namespace

bool mixed_tile_fits(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule) {
  const std::int64_t windows = lanes * rule.max_vectors * std::max<std::int64_t>(1, rule.features);
  return plan.window() + plan.horizon() <= kMostMixed / windows;
}

bool may_mix(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule) {
  return plan.num_entities() > 1 && mixed_tile_fits(plan, lanes, rule);
}

VectorPlan::VectorPlan(const WindowPlan& plan, std::int64_t lanes, const MixRule& rule)
    : plan_(plan), lanes_(lanes), max_vectors_(rule.max_vectors) {
  const Span<const std::int64_t> windows = plan.first_window();
  const bool may = may_mix(plan, lanes, rule);
  const auto left = [&](std::size_t g) {
    const std::int64_t rest = (windows[g + 1] - windows[g]) % lanes;
    return may && rest <= rule.most ? rest : 0;
  };
  std::int64_t mixed = 0, entities = 0;
  for (std::size_t g = 0; g + 1 < windows.size(); ++g) {
    mixed += left(g);
    entities += left(g) > 0 ? 1 : 0;
  }
  const bool saves = ceil_div(mixed, lanes) < entities;
  first_.reserve(windows.size());
  mixed_.reserve(saves ? windows.size() : 1);
  first_.push_back(0);
  mixed_.push_back(0);
  for (std::size_t g = 0; g + 1 < windows.size(); ++g) {
    const std::int64_t rest = saves ? left(g) : 0;
    first_.push_back(first_.back() + ceil_div(windows[g + 1] - windows[g] - rest, lanes));
    if (saves) mixed_.push_back(mixed_.back() + rest);
  }
  own_tiles_ = ceil_div(first_.back(), max_vectors_);
}

WindowRun VectorPlan::own(std::int64_t index) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), index);
  const auto g = static_cast<std::size_t>(after - first_.begin()) - 1;
  const std::int64_t window = (index - first_[g]) * lanes_;
  const std::int64_t windows = plan_.first_window()[g + 1] - plan_.first_window()[g];
  return {static_cast<std::int64_t>(g), window, std::min(lanes_, windows - window)};
}

TileWindows VectorPlan::tile(std::int64_t index) const {
  TileWindows tile;
  if (index < own_tiles_) {
    const std::int64_t end = std::min(first_.back(), (index + 1) * max_vectors_);
    for (std::int64_t v = index * max_vectors_; v < end; ++v) tile.runs.push_back(own(v));
    return tile;
  }
  tile.mixed = true;
  const std::int64_t most = max_vectors_ * lanes_;
  std::int64_t next = (index - own_tiles_) * most;
  const std::int64_t end = std::min(mixed_.back(), next + most);
  auto after = std::upper_bound(mixed_.begin(), mixed_.end(), next);
  for (; next < end; ++after) {
    const auto g = static_cast<std::size_t>(after - mixed_.begin()) - 1;
    const std::int64_t to = std::min(end, *after);
    if (to == next) continue;  // an entity that has no such windows
    const std::int64_t windows = plan_.first_window()[g + 1] - plan_.first_window()[g];
    // An entity's mixed windows are its last ones.
    tile.runs.push_back({static_cast<std::int64_t>(g), windows - (*after - next), to - next});
    next = to;
  }
  return tile;
}

std::int64_t tile_columns(const KernelTable& kernels, const WindowPlan& plan,
                          std::int64_t max_vectors, std::int64_t features, Which which) {
  // No more vectors, and no more entities whose rows lie apart, than the plan has. Each chosen
  // vector may lie apart.
  const Span<const std::int64_t> windows = plan.first_window();
  std::int64_t vectors = 0, runs = 0;
  for (std::size_t g = 0; g + 1 < windows.size() && runs < max_vectors; ++g) {
    const std::int64_t own = ceil_div(windows[g + 1] - windows[g], kernels.lanes);
    vectors += own;
    runs += own > 0 ? 1 : 0;
  }
  const MixRule rule{max_vectors, features, 0};
  bool mixes = runs > 1 && may_mix(plan, kernels.lanes, rule);
  if (which == Which::chosen) {
    vectors = std::min(plan.size(), max_vectors);
    runs = vectors;
    mixes = mixed_tile_fits(plan, kernels.lanes, rule);
  }
  const std::int64_t span = plan.window() + plan.horizon();
  const std::int64_t tail = round_up((span - 1) / plan.stride(), kernels.lanes);
  const std::int64_t most = std::min(vectors, max_vectors) * kernels.lanes;
  const std::int64_t own = std::min(plan.stride(), span) * (most + runs * tail);
  return std::max(own, mixes ? span * most : 0) + kernels.lanes;
}

WindowTile::WindowTile(const KernelTable& kernels, const SeriesView& series,
                       const ColumnScaler* scaler, const WindowPlan& plan, std::int64_t max_vectors,
                       Which which)
    : kernels_(kernels),
      series_(series),
      scaler_(scaler),
      plan_(plan),
      span_(plan.window() + plan.horizon()),
      base_(static_cast<std::size_t>(max_vectors)),
      col_(static_cast<std::size_t>(max_vectors)) {
  const std::int64_t most = tile_columns(kernels, plan, max_vectors, series.cols, which);
  if (most > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("window: too long for a tile, got " +
                                std::to_string(plan.window()));
  }
  x_.reset(series.cols * most);
  bad_.resize(static_cast<std::size_t>(most));
}

const std::int32_t* WindowTile::columns(std::int64_t t) {
  const auto shift = static_cast<std::int32_t>(offset(t));
  for (std::size_t v = 0; v < static_cast<std::size_t>(size_); ++v) col_[v] = base_[v] + shift;
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

void WindowTile::load(const TileWindows& windows) {
  runs_.clear();
  if (windows.mixed) {
    place_mixed(windows.runs);
  } else {
    place_own(windows.runs);
  }
  stride_ = planes_ * plane_ + kernels_.lanes;
  states_ = kWholeRow;
  std::fill(bad_.begin(), bad_.begin() + stride_, kWholeRow);
  if (windows.mixed) {
    load_windows();
  } else {
    for (const Run& run : runs_) load_run(run);
  }
  for (std::int64_t f = 0; f < series_.cols; ++f) {
    std::memset(x_.data() + f * stride_ + planes_ * plane_, 0,
                static_cast<std::size_t>(kernels_.lanes) * sizeof(float));
  }
}

// Window i of the run.
void WindowTile::add_window(const WindowRun& run, std::int64_t i, std::size_t column) {
  const auto g = static_cast<std::size_t>(run.entity);
  starts_[column] = plan_.offsets()[g] + (run.window + i) * plan_.stride();
  windows_[column] = plan_.first_window()[g] + run.window + i;
}

void WindowTile::place_own(const std::vector<WindowRun>& runs) {
  size_ = static_cast<std::int64_t>(runs.size());
  row_step_ = plan_.stride();
  planes_ = std::min(row_step_, span_);
  counts_.resize(runs.size());
  starts_.resize(static_cast<std::size_t>(size_ * kernels_.lanes));
  windows_.resize(starts_.size());
  const std::int64_t tail = round_up((span_ - 1) / row_step_, kernels_.lanes);
  std::int64_t column = 0;
  for (std::int64_t v = 0; v < size_; ++v) {
    const auto i = static_cast<std::size_t>(v);
    counts_[i] = runs[i].count;
    for (std::int64_t lane = 0; lane < runs[i].count; ++lane) {
      add_window(runs[i], lane, static_cast<std::size_t>(v * kernels_.lanes + lane));
    }
    const bool follows = v > 0 && runs[i].entity == runs[i - 1].entity &&
                         runs[i].window == runs[i - 1].window + kernels_.lanes;
    if (!follows) {
      if (v > 0) column += tail;
      runs_.push_back({v, 0, column});
    }
    ++runs_.back().vectors;
    base_[i] = static_cast<std::int32_t>(column);
    column += kernels_.lanes;
  }
  plane_ = column + tail;
}

void WindowTile::place_mixed(const std::vector<WindowRun>& runs) {
  starts_.clear();
  windows_.clear();
  for (const WindowRun& run : runs) {
    const std::size_t first = starts_.size();
    starts_.resize(first + static_cast<std::size_t>(run.count));
    windows_.resize(starts_.size());
    for (std::int64_t i = 0; i < run.count; ++i) {
      add_window(run, i, first + static_cast<std::size_t>(i));
    }
  }
  const auto windows = static_cast<std::int64_t>(starts_.size());
  size_ = ceil_div(windows, kernels_.lanes);
  row_step_ = planes_ = span_;
  plane_ = size_ * kernels_.lanes;
  runs_.push_back({0, size_, 0});
  counts_.resize(static_cast<std::size_t>(size_));
  for (std::int64_t v = 0; v < size_; ++v) {
    const std::int64_t first = v * kernels_.lanes;
    counts_[static_cast<std::size_t>(v)] = std::min(kernels_.lanes, windows - first);
    base_[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(first);
  }
}

void WindowTile::load_windows() {
  own_bad_.resize(static_cast<std::size_t>(span_));
  const auto windows = static_cast<std::int64_t>(starts_.size());
  for (std::int64_t i = 0; i < windows; ++i) {
    const RowState any = cast_rows(series_, starts_[static_cast<std::size_t>(i)], span_, scaler_,
                                   x_.data() + i, plane_, stride_, own_bad_.data());
    if (any == kWholeRow) continue;
    states_ |= any;
    for (std::int64_t t = 0; t < span_; ++t) {
      bad_[static_cast<std::size_t>(t * plane_ + i)] = own_bad_[static_cast<std::size_t>(t)];
    }
  }
  // What lanes beyond the last window hold must only be finite.
  for (std::int64_t f = 0; f < series_.cols; ++f) {
    for (std::int64_t t = 0; t < span_; ++t) {
      float* row = x_.data() + f * stride_ + t * plane_;
      std::fill(row + windows, row + plane_, 0.0f);
    }
  }
}

void WindowTile::load_run(const Run& run) {
  const std::int64_t last = run.vector + run.vectors - 1;
  const std::int64_t first_row = start(run.vector, 0);
  const std::int64_t rows = start(last, count(last) - 1) - first_row + span_;
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
}

}  // namespace slidecell
