// Calibrated errors of a linear forecast of the row after a window.
#include <algorithm>
#include <cmath>
#include <utility>

#include "flat/flat_scorer.h"

namespace slidecell {
namespace {

class LinearForecast final : public WindowScorer::Impl {
 public:
  LinearForecast(FlatWindows given, std::vector<float> weights, std::vector<float> bias,
                 std::vector<float> given_a, std::vector<float> given_b)
      : Impl(std::move(given), 1),
        targets(static_cast<std::int64_t>(windows.varying.size())),
        a(std::move(given_a)),
        b(std::move(given_b)),
        map(targets, windows.window, windows.varying,
            (check_flat(weights, targets * targets * windows.window, "weights"),
             std::move(weights)),
            (check_flat(bias, targets, "bias"), std::move(bias))) {
    check_flat(a, targets, "a");
    check_flat(b, targets, "b");
  }

  std::unique_ptr<FlatTile> tile(const KernelTable& kernels, const SeriesView& series,
                                 const WindowPlan& plan, const FlatCall& call,
                                 float* out) const override;

  const std::int64_t targets;
  const std::vector<float> a, b;
  const FlatMap map;
};

class ForecastTile final : public FlatTile {
 public:
  ForecastTile(const LinearForecast& forecast, const KernelTable& kernels, const SeriesView& series,
               const WindowPlan& plan, const FlatCall& call, float* out)
      : FlatTile(kernels, forecast, series, plan, call, out),
        forecast_(forecast),
        chunk_(forecast.map.chunk(kernels)),
        ahead_(chunk_ * stride_),
        errors_(chunk_ * stride_) {}

 protected:
  void add_scores(float* sums) override {
    const std::int64_t columns = tile_.size() * kernels_.lanes;
    for (std::int64_t first = 0; first < forecast_.targets; first += chunk_) {
      const std::int64_t n = std::min(chunk_, forecast_.targets - first);
      forecast_.map.products(kernels_, tile_, first, n, ahead_.data(), stride_);
      ErrorColumns e{};
      e.pred = ahead_.data();
      e.rows = n;
      e.vectors = tile_.size();
      e.truth = tile_.x();
      e.truth_stride = tile_.stride();
      e.truth_row = forecast_.windows.varying.data() + first;
      e.truth_col = tile_.columns(forecast_.windows.window);
      e.acc = errors_.data();
      e.acc_stride = stride_;
      e.stride = stride_;
      kernels_.subtract(e);
      for (std::int64_t r = 0; r < n; ++r)
        add_target(first + r, errors_.data() + r * stride_, sums);
    }
    if (per_feature_) return;
    const float share = 1.0f / static_cast<float>(forecast_.targets);
    for (std::int64_t c = 0; c < columns; ++c) sums[c] = std::sqrt(sums[c] * share);
  }

 private:
  void add_target(std::int64_t target, const float* error, float* sums) {
    const std::int64_t columns = tile_.size() * kernels_.lanes;
    const auto i = static_cast<std::size_t>(target);
    const float a = forecast_.a[i], b = forecast_.b[i];
    float* own = per_feature_ ? sums + forecast_.windows.varying[i] * stride_ : nullptr;
    for (std::int64_t c = 0; c < columns; ++c) {
      const float z = std::max(std::abs(error[c]) * a - b, 0.0f);
      if (own) {
        own[c] = z;
      } else {
        sums[c] += z * z;
      }
    }
  }

  const LinearForecast& forecast_;
  std::int64_t chunk_;
  AlignedFloats ahead_, errors_;  // [chunk][stride]
};

std::unique_ptr<FlatTile> LinearForecast::tile(const KernelTable& kernels, const SeriesView& series,
                                               const WindowPlan& plan, const FlatCall& call,
                                               float* out) const {
  return std::make_unique<ForecastTile>(*this, kernels, series, plan, call, out);
}

}  // namespace

WindowScorer WindowScorer::forecast(FlatWindows windows, std::vector<float> weights,
                                    std::vector<float> bias, std::vector<float> a,
                                    std::vector<float> b) {
  return WindowScorer(std::make_shared<const LinearForecast>(
      std::move(windows), std::move(weights), std::move(bias), std::move(a), std::move(b)));
}

}  // namespace slidecell
