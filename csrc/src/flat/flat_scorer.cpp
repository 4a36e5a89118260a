#include "flat/flat_scorer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/parallel.h"
#include "score/too_large.h"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

void check_scaler(const FlatWindows& windows) {
  if (windows.center.empty() && windows.scale.empty()) return;
  for (const auto* values : {&windows.center, &windows.scale}) {
    const char* name = values == &windows.center ? "center" : "scale";
    if (static_cast<std::int64_t>(values->size()) != windows.features) {
      refuse(std::string(name) + ": expected " + std::to_string(windows.features) +
             " values, got " + std::to_string(values->size()));
    }
    for (const double value : *values) {
      if (!std::isfinite(value) || (values == &windows.scale && !(value > 0.0))) {
        refuse(std::string(name) + ": expected finite values" +
               (values == &windows.scale ? " above 0" : "") + ", got " + std::to_string(value));
      }
    }
  }
}

}  // namespace

std::int64_t flat_tile_vectors(const KernelTable& kernels) {
  return round_up(std::max<std::int64_t>(1, 192 / kernels.lanes), kernels.vector_step);
}

void check_flat(const std::vector<float>& values, std::int64_t size, const char* name) {
  if (static_cast<std::int64_t>(values.size()) != size) {
    refuse(std::string(name) + ": expected " + std::to_string(size) + " values, got " +
           std::to_string(values.size()));
  }
  for (const float value : values) {
    if (!std::isfinite(value)) refuse(std::string(name) + ": expected finite values");
  }
}

std::int64_t flat_rows(const FlatWindows& windows, const std::vector<float>& values,
                       const char* name) {
  const std::int64_t depth = windows.window * static_cast<std::int64_t>(windows.varying.size());
  const auto size = static_cast<std::int64_t>(values.size());
  if (size == 0 || size % depth != 0) {
    refuse(std::string(name) + ": expected rows of " + std::to_string(depth) + " values, got " +
           std::to_string(size) + " values");
  }
  check_flat(values, size, name);
  return size / depth;
}

WindowScorer::Impl::Impl(FlatWindows given, std::int64_t horizon_)
    : windows(std::move(given)), horizon(horizon_) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (windows.window < 1 || windows.window > kMost) {
    refuse("window: expected a whole number >= 1, got " + std::to_string(windows.window));
  }
  if (windows.features < 1 || windows.features > kMost) {
    refuse("features: expected a whole number >= 1, got " + std::to_string(windows.features));
  }
  check_scaler(windows);
  if (windows.varying.empty()) refuse("varying: expected at least one feature, got none");
  std::int64_t before = -1;
  for (const std::int32_t f : windows.varying) {
    if (f <= before || f >= windows.features) {
      refuse("varying: expected ascending features below " + std::to_string(windows.features) +
             ", got " + std::to_string(f));
    }
    for (std::int64_t c = before + 1; c < f; ++c) constant.push_back(static_cast<std::int32_t>(c));
    before = f;
  }
  for (std::int64_t c = before + 1; c < windows.features; ++c) {
    constant.push_back(static_cast<std::int32_t>(c));
  }
  for (std::int32_t f = 0; f < windows.features; ++f) all.push_back(f);
  column_scaler_ = {windows.center.data(), windows.scale.data()};
}

FlatTile::FlatTile(const KernelTable& kernels, const WindowScorer::Impl& scorer,
                   const SeriesView& series, const WindowPlan& plan, const FlatCall& call,
                   float* out)
    : kernels_(kernels),
      scorer_(scorer),
      tile_(kernels, series, scorer.scaler(), plan, flat_tile_vectors(kernels)),
      per_feature_(call.per_feature),
      values_(call.per_feature ? scorer.windows.features : 1),
      stride_(flat_tile_vectors(kernels) * kernels.lanes),
      span_(plan.window() + plan.horizon()),
      sums_(values_ * stride_),
      zeros_(scorer.windows.features * stride_),
      out_(out) {}

void FlatTile::score(const TileWindows& windows) {
  tile_.load(windows);
  row_ = tile_.offset(1);
  first_.assign(tile_.columns(0), tile_.columns(0) + tile_.size());
  std::memset(sums_.data(), 0, static_cast<std::size_t>(values_ * stride_) * sizeof(float));
  add_scores(sums_.data());
  for (std::int64_t v = 0; v < tile_.size(); ++v) {
    for (std::int64_t lane = 0; lane < tile_.count(v); ++lane) {
      if (!tile_.complete(v, lane, span_)) continue;
      float* row = out_ + (tile_.start(v, lane) + span_ - 1) * values_;
      for (std::int64_t i = 0; i < values_; ++i) {
        row[i] = score_of(sums_.data()[i * stride_ + column(v) + lane]);
      }
    }
  }
}

void FlatTile::add_squares(const std::vector<std::int32_t>& rows, bool by_feature, float* sums) {
  if (rows.empty()) return;
  ErrorColumns a{};
  a.pred = zeros_.data();
  a.rows = by_feature ? 1 : static_cast<std::int64_t>(rows.size());
  a.vectors = tile_.size();
  a.truth = tile_.x();
  a.truth_stride = tile_.stride();
  a.stride = stride_;
  for (std::int64_t t = 0; t < scorer_.windows.window; ++t) {
    a.truth_col = tile_.columns(t);
    if (!by_feature) {
      a.truth_row = rows.data();
      a.acc = sums;
      kernels_.add_squared_error(a);
      continue;
    }
    for (const std::int32_t& f : rows) {
      a.truth_row = &f;
      a.acc = sums + f * stride_;
      kernels_.add_squared_error(a);
    }
  }
}

WindowScorer::WindowScorer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

std::int64_t WindowScorer::window() const { return impl_->windows.window; }
std::int64_t WindowScorer::features() const { return impl_->windows.features; }
std::int64_t WindowScorer::horizon() const { return impl_->horizon; }

void WindowScorer::score(const SeriesView& series, Span<const std::int64_t> offsets, float* out,
                         bool per_feature, int num_threads) const {
  impl_->run(series, offsets, {per_feature, {}}, out, num_threads);
}

void WindowScorer::score_own(const SeriesView& series, Span<const std::int64_t> offsets,
                             Span<const std::int64_t> starts, float* out, int num_threads) const {
  const std::int64_t points = impl_->points();
  if (points == 0) refuse("score_own: expected a scorer of nearest points");
  if (static_cast<std::int64_t>(starts.size()) != points) {
    refuse("starts: expected " + std::to_string(points) + " rows (one of each point), got " +
           std::to_string(starts.size()));
  }
  if (!std::is_sorted(starts.begin(), starts.end())) refuse("starts: expected ascending rows");
  impl_->run(series, offsets, {false, starts}, out, num_threads);
}

void WindowScorer::Impl::run(const SeriesView& series, Span<const std::int64_t> offsets,
                             const FlatCall& call, float* out, int num_threads) const {
  if (series.cols != windows.features) {
    refuse("series: expected [S, " + std::to_string(windows.features) + "], got [" +
           std::to_string(series.rows) + ", " + std::to_string(series.cols) + "]");
  }
  const WindowPlan plan({offsets.begin(), offsets.end()}, windows.window, horizon);
  if (plan.num_rows() != series.rows) {
    refuse("offsets: expected the last one to be " + std::to_string(series.rows) + ", got " +
           std::to_string(plan.num_rows()));
  }
  require_pointer(series.data, series.rows, "series");
  require_pointer(out, series.rows, "out");
  std::fill_n(out, series.rows * (call.per_feature ? windows.features : 1),
              std::numeric_limits<float>::quiet_NaN());
  const KernelTable& kernels = active_kernels();
  // Every window's products are its own, so a mixed vector costs what another does.
  const VectorPlan vectors(plan, kernels.lanes,
                           {flat_tile_vectors(kernels), series.cols, kernels.lanes - 1});
  parallel_for(
      vectors.tiles(), num_threads, [&] { return tile(kernels, series, plan, call, out); },
      [&](std::unique_ptr<FlatTile>& workspace, std::int64_t i) {
        workspace->score(vectors.tile(i));
      });
}

}  // namespace slidecell
