// What the components of a subspace leave over of windows.
#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "flat/flat_scorer.h"
#include "layers/columns.h"

namespace slidecell {
namespace {

// Minus the products of the components with the mean: codes are those of centred windows.
std::vector<float> minus_products(const std::vector<float>& components,
                                  const std::vector<float>& mean) {
  std::vector<float> bias;
  for (std::size_t at = 0; at < components.size(); at += mean.size()) {
    double product = 0.0;
    for (std::size_t i = 0; i < mean.size(); ++i) {
      product += static_cast<double>(components[at + i]) * static_cast<double>(mean[i]);
    }
    bias.push_back(static_cast<float>(-product));
  }
  return bias;
}

std::vector<float> transposed(const std::vector<float>& components, std::size_t depth) {
  const std::size_t rows = components.size() / depth;
  std::vector<float> result(components.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < depth; ++i) result[i * rows + r] = components[r * depth + i];
  }
  return result;
}

class Subspace final : public WindowScorer::Impl {
 public:
  Subspace(FlatWindows given, const std::vector<float>& mean, const std::vector<float>& components)
      : Impl(std::move(given), 0),
        depth(windows.window * static_cast<std::int64_t>(windows.varying.size())),
        rows(flat_rows(windows, components, "components")),
        encoder(rows, windows.window, windows.varying, components,
                (check_flat(mean, depth, "mean"), minus_products(components, mean))),
        decoder(depth, rows, transposed(components, mean.size()), mean) {}

  std::unique_ptr<FlatTile> tile(const KernelTable& kernels, const SeriesView& series,
                                 const WindowPlan& plan, const FlatCall& call,
                                 float* out) const override;

  const std::int64_t depth, rows;
  const FlatMap encoder;
  const Linear decoder;  // codes -> windows
};

// Windows -> codes -> windows: a linear autoencoder. The residual is a difference of what is and
// what comes back, not of squares, so that nothing cancels.
class SubspaceTile final : public FlatTile {
 public:
  SubspaceTile(const Subspace& subspace, const KernelTable& kernels, const SeriesView& series,
               const WindowPlan& plan, const FlatCall& call, float* out)
      : FlatTile(kernels, subspace, series, plan, call, out),
        subspace_(subspace),
        chunk_(subspace.encoder.chunk(kernels)),
        rows_(round_up(kRows, kernels.block_rows)),
        codes_(round_up(subspace.rows, chunk_) * stride_),
        restored_(rows_ * stride_),
        squares_(call.per_feature ? rows_ * stride_ : 0),
        truth_row_(static_cast<std::size_t>(subspace.depth)) {
    const std::int64_t columns =
        tile_columns(kernels, plan, flat_tile_vectors(kernels), subspace.windows.features);
    if (subspace.windows.features > std::numeric_limits<std::int32_t>::max() / columns) {
      throw std::invalid_argument("features: too many for a tile, got " +
                                  std::to_string(subspace.windows.features));
    }
  }

 protected:
  void add_scores(float* sums) override {
    for (std::int64_t first = 0; first < subspace_.rows; first += chunk_) {
      subspace_.encoder.products(kernels_, tile_, first, std::min(chunk_, subspace_.rows - first),
                                 codes_.data() + first * stride_, stride_);
    }
    // Row (t, f) of a restored window stands beside row f of the tile, offset(t) columns further
    // on.
    const std::vector<std::int32_t>& varying = subspace_.windows.varying;
    std::size_t at = 0;
    for (std::int64_t t = 0; t < subspace_.windows.window; ++t) {
      for (const std::int32_t f : varying) {
        truth_row_[at++] = static_cast<std::int32_t>(f * tile_.stride() + tile_.offset(t));
      }
    }
    for (std::int64_t first = 0; first < subspace_.depth; first += rows_) {
      add_residuals(first, std::min(rows_, subspace_.depth - first), sums);
    }
    add_squares(subspace_.constant, per_feature_, sums);
    const float share = 1.0f / static_cast<float>(subspace_.windows.window *
                                                  (per_feature_ ? 1 : subspace_.windows.features));
    for (std::int64_t i = 0; i < values_ * stride_; ++i) sums[i] *= share;
  }

 private:
  static constexpr std::int64_t kRows = 96;  // of restored windows at a time

  void add_residuals(std::int64_t first, std::int64_t n, float* sums) {
    const PackedLinear& decoder = subspace_.decoder.packed(kernels_);
    ProjectColumns p{};
    p.w = decoder.columns.data() + first * (1 + decoder.depth);
    p.rows = n;
    p.depth = decoder.depth;
    p.x = codes_.data();
    p.x_stride = stride_;
    p.out = restored_.data();
    p.out_stride = stride_;
    p.vectors = tile_.size();
    kernels_.project(p);
    ErrorColumns e{};
    e.pred = restored_.data();
    e.rows = n;
    e.vectors = tile_.size();
    e.truth = tile_.x();
    e.truth_stride = 1;
    e.truth_row = truth_row_.data() + first;
    e.truth_col = tile_.columns(0);
    e.stride = stride_;
    e.acc = sums;
    if (!per_feature_) {
      kernels_.add_squared_error(e);
      return;
    }
    std::fill_n(squares_.data(), n * stride_, 0.0f);
    e.acc = squares_.data();
    e.acc_stride = stride_;
    kernels_.add_squared_error(e);
    const std::vector<std::int32_t>& varying = subspace_.windows.varying;
    for (std::int64_t r = 0; r < n; ++r) {
      const std::int32_t f = varying[static_cast<std::size_t>(first + r) % varying.size()];
      for (std::int64_t c = 0; c < tile_.size() * kernels_.lanes; ++c) {
        sums[f * stride_ + c] += squares_.data()[r * stride_ + c];
      }
    }
  }

  const Subspace& subspace_;
  std::int64_t chunk_, rows_;
  AlignedFloats codes_;     // [P][stride]
  AlignedFloats restored_;  // [rows][stride]
  AlignedFloats squares_;   // with per_feature: [rows][stride]
  std::vector<std::int32_t> truth_row_;
};

std::unique_ptr<FlatTile> Subspace::tile(const KernelTable& kernels, const SeriesView& series,
                                         const WindowPlan& plan, const FlatCall& call,
                                         float* out) const {
  return std::make_unique<SubspaceTile>(*this, kernels, series, plan, call, out);
}

}  // namespace

WindowScorer WindowScorer::subspace(FlatWindows windows, std::vector<float> mean,
                                    std::vector<float> components) {
  return WindowScorer(std::make_shared<const Subspace>(std::move(windows), mean, components));
}

}  // namespace slidecell
