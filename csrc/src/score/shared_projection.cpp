#include "score/shared_projection.h"

#include <algorithm>

namespace slidecell {
namespace {

// Steps whose projections are held at once. Every chunk projects about tile + steps rows for
// tile * steps uses, so longer chunks gain little, and p_ should stay in the L2 cache.
constexpr std::int64_t kProjectedSteps = 64;

}  // namespace

SharedProjection::SharedProjection(const KernelTable& kernels, const PackedLayer& layer,
                                   WindowTile& tile, std::int64_t max_vectors)
    : kernels_(kernels),
      layer_(layer),
      tile_(tile),
      steps_(steps_at_once(tile.plan().stride())),
      base_(static_cast<std::size_t>(max_vectors)),
      col_(static_cast<std::size_t>(max_vectors)) {
  const std::int64_t s = tile.plan().stride();
  const std::int64_t tail = round_up((steps_ - 1) / s, kernels.lanes);
  const std::int64_t most = std::min(s, steps_) * max_vectors * (kernels.lanes + tail);
  p_.reset(layer.front().input.rows * most);
}

// Windows further apart than they are long share no row, so a chunk of one step serves them as well
// as a longer one, and stays in the cache.
std::int64_t SharedProjection::steps_at_once(std::int64_t row_step) const {
  const std::int64_t W = tile_.plan().window();
  return row_step >= W ? 1 : std::min(W, kProjectedSteps);
}

void SharedProjection::begin() {
  first_step_ = -1;
  steps_ = steps_at_once(tile_.row_step());
}

StepInput SharedProjection::at(std::int64_t step, std::size_t direction) {
  const std::int64_t t = direction == 0 ? step : tile_.plan().window() - 1 - step;
  const std::int64_t first_step = t / steps_ * steps_;
  if (first_step != first_step_ || direction != direction_) project(first_step, direction);
  const std::int64_t s = tile_.row_step(), ahead = t - first_step;
  const auto shift = static_cast<std::int32_t>(ahead % s * plane_ + ahead / s);
  for (std::int64_t v = 0; v < tile_.size(); ++v) {
    col_[static_cast<std::size_t>(v)] = base_[static_cast<std::size_t>(v)] + shift;
  }
  return {p_.data(), stride_, col_.data()};
}

// Plane m holds steps first_step + m, + m + s, ...: the columns of a plane are every s-th row.
void SharedProjection::project(std::int64_t first_step, std::size_t direction) {
  const std::int64_t s = tile_.row_step(), lanes = kernels_.lanes;
  const std::int64_t steps = std::min(steps_, tile_.plan().window() - first_step);
  const std::int64_t tail = round_up((steps - 1) / s, lanes);
  plane_ = 0;
  for (const WindowTile::Run& run : tile_.runs_) {
    for (std::int64_t v = 0; v < run.vectors; ++v) {
      base_[static_cast<std::size_t>(run.vector + v)] =
          static_cast<std::int32_t>(plane_ + v * lanes);
    }
    plane_ += run.vectors * lanes + tail;
  }
  stride_ = std::min(s, steps) * plane_;
  for (const WindowTile::Run& run : tile_.runs_) {
    const std::int64_t column = base_[static_cast<std::size_t>(run.vector)];
    for (std::int64_t m = 0; m < std::min(s, steps); ++m) {
      const float* x = tile_.x() + run.column + tile_.offset(first_step + m);
      project_columns(kernels_, layer_[direction].input, x, tile_.stride(),
                      p_.data() + m * plane_ + column, stride_,
                      run.vectors + ceil_div((steps - 1 - m) / s, lanes));
    }
  }
  first_step_ = first_step;
  direction_ = direction;
}

}  // namespace slidecell
