// Distances of windows to the nearest of some points.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "flat/flat_scorer.h"

namespace slidecell {
namespace {

// A point's product with a window, less half the point's square: the larger, the nearer. Points
// are their own weights; their bias is minus half their square.
std::vector<float> minus_half_squares(const std::vector<float>& points, std::int64_t rows) {
  const std::size_t depth = points.size() / static_cast<std::size_t>(rows);
  std::vector<float> bias;
  for (auto point = points.begin(); point != points.end(); point += static_cast<long>(depth)) {
    double square = 0.0;
    for (std::size_t i = 0; i < depth; ++i) {
      square += static_cast<double>(point[static_cast<long>(i)]) *
                static_cast<double>(point[static_cast<long>(i)]);
    }
    bias.push_back(static_cast<float>(-0.5 * square));
  }
  return bias;
}

class NearestPoints final : public WindowScorer::Impl {
 public:
  NearestPoints(FlatWindows given, std::vector<float> given_points, std::int64_t given_neighbors)
      : Impl(std::move(given), 0),
        values(std::move(given_points)),
        neighbors(given_neighbors),
        rows(flat_rows(windows, values, "points")),
        map(rows, windows.window, windows.varying, values, minus_half_squares(values, rows)) {
    if (neighbors < 1 || neighbors > rows) {
      throw std::invalid_argument("neighbors: expected 1 to " + std::to_string(rows) +
                                  " (the points), got " + std::to_string(neighbors));
    }
  }

  std::unique_ptr<FlatTile> tile(const KernelTable& kernels, const SeriesView& series,
                                 const WindowPlan& plan, const FlatCall& call,
                                 float* out) const override;

  std::int64_t points() const override { return rows; }

  const std::vector<float> values;
  const std::int64_t neighbors, rows;
  const FlatMap map;
};

class NearestTile final : public FlatTile {
 public:
  NearestTile(const NearestPoints& points, const KernelTable& kernels, const SeriesView& series,
              const WindowPlan& plan, const FlatCall& call, float* out)
      : FlatTile(kernels, points, series, plan, call, out),
        points_(points),
        own_starts_(call.own_starts),
        chunk_(points.map.chunk(kernels)),
        products_(chunk_ * stride_),
        squares_(stride_),
        best_(points.neighbors * stride_),
        which_(static_cast<std::size_t>(points.neighbors * stride_)) {}

 protected:
  void add_scores(float* sums) override {
    find_nearest();
    std::fill_n(squares_.data(), stride_, 0.0f);
    add_squares(points_.all, false, squares_.data());
    const std::int64_t k = points_.neighbors;
    for (std::int64_t v = 0; v < tile_.size(); ++v) {
      const std::int64_t count = tile_.count(v);
      for (std::int64_t lane = 0; lane < count; ++lane) {
        const std::int64_t at = column(v) + lane;
        if (per_feature_) {
          add_features(v, lane, sums + at);
          continue;
        }
        float sum = 0.0f;
        for (std::int64_t i = 0; i < k; ++i) sum += distance(v, lane, i);
        sums[at] = sum / static_cast<float>(k);
      }
    }
    if (per_feature_) add_squares(points_.constant, true, sums);
  }

 private:
  // The `neighbors` largest products of every window, the largest first, and their points; of
  // equal ones the first.
  void find_nearest() {
    const std::int64_t columns = tile_.size() * kernels_.lanes, k = points_.neighbors;
    std::fill_n(best_.data(), k * stride_, -std::numeric_limits<float>::infinity());
    std::fill(which_.begin(), which_.end(), 0);
    for (std::int64_t first = 0; first < points_.rows; first += chunk_) {
      const std::int64_t n = std::min(chunk_, points_.rows - first);
      points_.map.products(kernels_, tile_, first, n, products_.data(), stride_);
      for (std::int64_t r = 0; r < n; ++r) {
        const auto point = static_cast<std::int32_t>(first + r);
        const float* product = products_.data() + r * stride_;
        if (own_starts_.size() > 0) {
          insert_others(product, point);
        } else if (k == 1) {
          keep_largest(product, point, columns);
        } else {
          for (std::int64_t c = 0; c < columns; ++c) insert(product[c], point, c);
        }
      }
    }
  }

  void keep_largest(const float* product, std::int32_t point, std::int64_t columns) {
    float* best = best_.data();
    std::int32_t* which = which_.data();
    for (std::int64_t c = 0; c < columns; ++c) {
      const bool nearer = product[c] > best[c];
      best[c] = nearer ? product[c] : best[c];
      which[c] = nearer ? point : which[c];
    }
  }

  // Leaves out the windows that overlap the one that the point was.
  void insert_others(const float* product, std::int32_t point) {
    const std::int64_t own = own_starts_[static_cast<std::size_t>(point)];
    for (std::int64_t v = 0; v < tile_.size(); ++v) {
      const std::int64_t count = tile_.count(v);
      for (std::int64_t lane = 0; lane < count; ++lane) {
        const std::int64_t apart = tile_.start(v, lane) - own;
        const std::int64_t W = points_.windows.window;
        if (apart <= -W || apart >= W) insert(product[column(v) + lane], point, column(v) + lane);
      }
    }
  }

  void insert(float product, std::int32_t point, std::int64_t c) {
    std::int64_t i = points_.neighbors - 1;
    if (!(product > best_.data()[i * stride_ + c])) return;
    for (; i > 0 && product > best_.data()[(i - 1) * stride_ + c]; --i) {
      best_.data()[i * stride_ + c] = best_.data()[(i - 1) * stride_ + c];
      which_[static_cast<std::size_t>(i * stride_ + c)] =
          which_[static_cast<std::size_t>((i - 1) * stride_ + c)];
    }
    best_.data()[i * stride_ + c] = product;
    which_[static_cast<std::size_t>(i * stride_ + c)] = point;
  }

  // Of a window to its i-th nearest point.
  float distance(std::int64_t v, std::int64_t lane, std::int64_t i) {
    const std::int64_t at = column(v) + lane;
    const float square = squares_.data()[at], product = best_.data()[i * stride_ + at];
    if (std::isinf(product)) return std::numeric_limits<float>::infinity();  // no point is left
    float left = square - 2.0f * product;
    if (!(left >= 1e-3f * square)) {
      double sum = 0.0;
      for_differences(v, lane, i, [&](std::int64_t, double d) { sum += d * d; });
      for (const std::int32_t f : points_.constant) {
        for (std::int64_t t = 0; t < points_.windows.window; ++t) {
          const auto x = static_cast<double>(value(v, lane, f, t));
          sum += x * x;
        }
      }
      left = static_cast<float>(sum);
    }
    return std::sqrt(left);
  }

  // Adds the mean over the nearest points of each varying feature's squared distance.
  void add_features(std::int64_t v, std::int64_t lane, float* sums) {
    const std::int64_t k = points_.neighbors;
    feature_sums_.assign(static_cast<std::size_t>(points_.windows.features), 0.0);
    for (std::int64_t i = 0; i < k; ++i) {
      for_differences(v, lane, i, [&](std::int64_t f, double d) {
        feature_sums_[static_cast<std::size_t>(f)] += d * d;
      });
    }
    for (const std::int32_t f : points_.windows.varying) {
      sums[f * stride_] =
          static_cast<float>(feature_sums_[static_cast<std::size_t>(f)] / static_cast<double>(k));
    }
  }

  // Calls take(feature, difference) for every value of a window and its i-th nearest point.
  template <class Take>
  void for_differences(std::int64_t v, std::int64_t lane, std::int64_t i, Take take) {
    const std::vector<std::int32_t>& varying = points_.windows.varying;
    const auto which = which_[static_cast<std::size_t>(i * stride_ + column(v) + lane)];
    const float* point = points_.values.data() +
                         which * points_.windows.window * static_cast<std::int64_t>(varying.size());
    for (std::int64_t t = 0; t < points_.windows.window; ++t) {
      for (const std::int32_t f : varying) {
        take(f, static_cast<double>(value(v, lane, f, t)) - static_cast<double>(*point++));
      }
    }
  }

  const NearestPoints& points_;
  Span<const std::int64_t> own_starts_;
  std::int64_t chunk_;
  AlignedFloats products_;            // [chunk][stride]
  AlignedFloats squares_;             // [stride] of the windows
  AlignedFloats best_;                // [neighbors][stride]
  std::vector<std::int32_t> which_;   // [neighbors][stride]
  std::vector<double> feature_sums_;  // [F]
};

std::unique_ptr<FlatTile> NearestPoints::tile(const KernelTable& kernels, const SeriesView& series,
                                              const WindowPlan& plan, const FlatCall& call,
                                              float* out) const {
  return std::make_unique<NearestTile>(*this, kernels, series, plan, call, out);
}

}  // namespace

WindowScorer WindowScorer::nearest(FlatWindows windows, std::vector<float> points,
                                   std::int64_t neighbors) {
  return WindowScorer(
      std::make_shared<const NearestPoints>(std::move(windows), std::move(points), neighbors));
}

}  // namespace slidecell
