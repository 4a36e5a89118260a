#include "score/chain_runner.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "score/no_score.h"
#include "score/scratch.h"
#include "score/too_large.h"

namespace slidecell {
namespace {

// Steps whose rows are loaded at once; a lane begins its next chain with the next block of them.
// More would keep lanes idle for longer, fewer would copy the K targets more often.
constexpr std::int64_t kBlockSteps = 8;

}  // namespace

ChainRunner::ChainRunner(const ModelParts& model, const KernelTable& kernels,
                         const KernelChoice& choice, const ChainScores& scores,
                         std::int64_t tile_lanes)
    : model_(model),
      kernels_(kernels),
      scores_(scores),
      stack_(make_tile_stack(kernels, *model.encoder, choice, tile_lanes / kernels.lanes)),
      stride_(stack_->stride()),
      rows_(kBlockSteps + model.horizon),
      col_(adjacent_columns(kernels, tile_lanes / kernels.lanes)),
      true_col_(col_.size()),
      lanes_(static_cast<std::size_t>(tile_lanes)),
      wanted_(lanes_.size()),
      x_(model.input_size() * rows_ * stride_),
      p_(stack_->bottom().front().input.rows * stride_),
      bad_(static_cast<std::size_t>(rows_ * stride_)),
      lane_bad_(static_cast<std::size_t>(rows_)),
      head_(kernels, *model.head, stride_),
      pred_(model.head->rows() * stride_),
      errors_(model, kernels, scores.reduction, scores.per_feature, stride_),
      sums_(errors_.values() * stride_),
      scale_(static_cast<float>(
          1.0 / error_divisor(model, scores.reduction, scores.per_feature, model.horizon))) {}

double ChainRunner::bytes(const ModelParts& model, bool per_feature, std::int64_t tile_lanes) {
  const auto lanes = static_cast<double>(tile_lanes);
  const auto rows = static_cast<double>(kBlockSteps) + static_cast<double>(model.horizon);
  const LayerSpec& bottom = model.encoder->specs().front();
  double floats = rows * static_cast<double>(model.input_size() + 1) * lanes;
  floats += static_cast<double>(bottom.gates() * bottom.hidden_size) * lanes;
  floats += stack_floats(*model.encoder, tile_lanes, 1, false);
  floats += static_cast<double>(model.head->rows()) * lanes + inner_floats(*model.head, tile_lanes);
  floats += static_cast<double>(per_feature ? model.num_targets() : 1) * lanes;
  return floats * sizeof(float);
}

void ChainRunner::run(const ChainPlan& plan, std::int64_t tile) {
  std::int64_t used = 0;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(lanes_.size()); ++i) {
    Lane& lane = lanes_[static_cast<std::size_t>(i)];
    lane = Lane{};
    const LaneChains* own = i < plan.tile_lanes() ? plan.lane(tile, i) : nullptr;
    if (!own) continue;
    lane.chain = plan.chains().data() + own->first;
    lane.end = lane.chain + own->count;
    lane.row = lane.chain->first_row;
    lane.fresh = true;
    used = i + 1;
  }
  vectors_ = ceil_div(used, kernels_.lanes);
  stack_->clear();
  std::fill_n(x_.data(), x_.size(), 0.0f);
  std::fill(bad_.begin(), bad_.end(), kWholeRow);
  for (bool first = true;; first = false) {
    const std::int64_t steps = begin_block(first);
    if (steps == 0) return;
    stack_->run(*this, steps, vectors_, this);
  }
}

// Moves every lane to its next rows, or its next chain. Returns the steps that are left for one of
// them, at most a block's.
std::int64_t ChainRunner::begin_block(bool first) {
  std::int64_t steps = 0;
  for (std::int64_t column = 0; column < vectors_ * kernels_.lanes; ++column) {
    Lane& lane = lanes_[static_cast<std::size_t>(column)];
    if (!lane.chain) continue;
    if (!first) {
      lane.fresh = false;
      lane.row += kBlockSteps;
      if (lane.row >= lane.chain->end_row()) {
        stack_->zero(column);
        ++lane.chain;
        if (lane.chain == lane.end) {
          lane.chain = nullptr;
          continue;
        }
        lane.row = lane.chain->first_row;
        lane.fresh = true;
      }
    }
    steps = std::max(steps, std::min(kBlockSteps, lane.chain->end_row() - lane.row));
  }
  if (steps > 0) load_block(first);
  return steps;
}

void ChainRunner::load_block(bool first) {
  const std::int64_t K = model_.horizon;
  if (!first) {
    // The targets of the block before are its first rows now.
    const auto kept = static_cast<std::size_t>(K * stride_);
    for (std::int64_t f = 0; f < model_.input_size(); ++f) {
      float* rows = x_.data() + f * rows_ * stride_;
      std::memmove(rows, rows + kBlockSteps * stride_, kept * sizeof(float));
    }
    if (held_ != kWholeRow) {
      std::memmove(bad_.data(), bad_.data() + kBlockSteps * stride_, kept * sizeof(RowState));
      std::fill(bad_.begin() + K * stride_, bad_.end(), kWholeRow);
    }
  }
  held_ = kWholeRow;
  for (std::int64_t column = 0; column < vectors_ * kernels_.lanes; ++column) {
    const Lane& lane = lanes_[static_cast<std::size_t>(column)];
    load_lane(column, lane.chain && lane.fresh ? 0 : K, rows_);
  }
  for (const RowState state : bad_) held_ |= state;
  if ((held_ & kTooLargeRow) != 0) met_too_large_ = true;
  for (std::int64_t column = 0; column < vectors_ * kernels_.lanes; ++column) {
    Lane& lane = lanes_[static_cast<std::size_t>(column)];
    if (!lane.chain || !lane.fresh) continue;
    lane.last_bad = lane.chain->first_row - 1 - (lane.chain->begins_inside ? model_.window : 0);
    for (std::int64_t r = 0; r < K && held_ != kWholeRow; ++r) {
      if (state_at(r, column) != kWholeRow) lane.last_bad = lane.row + r;
    }
  }
}

// Rows from .. to-1 of what the lane holds; zeros where its chain needs none.
void ChainRunner::load_lane(std::int64_t column, std::int64_t from, std::int64_t to) {
  const Lane& lane = lanes_[static_cast<std::size_t>(column)];
  std::int64_t count = 0;
  float* out = x_.data() + from * stride_ + column;
  const std::ptrdiff_t plane = rows_ * stride_;
  for (std::int64_t r = from; r < model_.horizon; ++r) state_at(r, column) = kWholeRow;
  if (lane.chain) {
    const std::int64_t end = lane.chain->end_row() + model_.horizon;
    count = std::clamp<std::int64_t>(end - (lane.row + from), 0, to - from);
    const RowState any = cast_rows(scores_.series, lane.row + from, count, model_.scaler(), out,
                                   stride_, plane, lane_bad_.data());
    for (std::int64_t r = 0; r < count && any != kWholeRow; ++r) {
      state_at(from + r, column) = lane_bad_[static_cast<std::size_t>(r)];
    }
  }
  for (std::int64_t f = 0; f < model_.input_size(); ++f) {
    for (std::int64_t r = count; r < to - from; ++r) out[f * plane + r * stride_] = 0.0f;
  }
}

StepInput ChainRunner::at(std::int64_t step, std::size_t direction) {
  project_columns(kernels_, stack_->bottom()[direction].input, x_.data() + step * stride_,
                  rows_ * stride_, p_.data(), stride_, vectors_);
  return {p_.data(), stride_, col_.data()};
}

bool ChainRunner::wanted(const Lane& lane, std::int64_t target) const {
  const Chain& chain = *lane.chain;
  if (target < chain.first_target || target > chain.end_target) return false;
  if (target == chain.end_target) return chain.at_end != nullptr;
  if (target == chain.first_target && chain.at_first) return true;
  return (target - model_.window - chain.window_row) % scores_.stride == 0;
}

void ChainRunner::on_step(std::int64_t step, const float* h) {
  const std::int64_t columns = vectors_ * kernels_.lanes;
  bool any = false;
  for (std::int64_t column = 0; column < columns; ++column) {
    const Lane& lane = lanes_[static_cast<std::size_t>(column)];
    char& want = wanted_[static_cast<std::size_t>(column)];
    want = lane.chain && wanted(lane, lane.row + step + 1) ? 1 : 0;
    any = any || want;
  }
  if (any) {
    head_.run(h, pred_.data(), vectors_);
    errors_.clear(sums_.data());
    for (std::int64_t k = 0; k < model_.horizon; ++k) {
      for (std::size_t v = 0; v < static_cast<std::size_t>(vectors_); ++v) {
        true_col_[v] = col_[v] + static_cast<std::int32_t>((step + 1 + k) * stride_);
      }
      errors_.add(TrueColumns{x_.data(), rows_ * stride_, true_col_.data(), vectors_}, k,
                  pred_.data() + k * model_.num_targets() * stride_, sums_.data());
    }
  }
  for (std::int64_t column = 0; column < columns; ++column) {
    Lane& lane = lanes_[static_cast<std::size_t>(column)];
    if (!lane.chain) continue;
    const std::int64_t target = lane.row + step + 1, last = target + model_.horizon - 1;
    if (held_ != kWholeRow && state_at(step + model_.horizon, column) != kWholeRow) {
      lane.last_bad = last;
    }
    if (wanted_[static_cast<std::size_t>(column)]) score_lane(lane, column, target);
    if (held_ != kWholeRow && state_at(step, column) != kWholeRow) stack_->zero(column);
  }
}

// The window whose first target row is `target`.
void ChainRunner::score_lane(Lane& lane, std::int64_t column, std::int64_t target) {
  const Chain& chain = *lane.chain;
  const bool complete = lane.last_bad < target - model_.window;
  const std::int64_t values = errors_.values(), row = target + model_.horizon - 1;
  const auto score = [&](std::int64_t i) {
    return complete ? score_of(sums_.data()[i * stride_ + column] * scale_) : kNoScore;
  };
  if (target == chain.end_target) {
    *chain.at_end = score(0);
    return;
  }
  if (target == chain.first_target && chain.at_first) *chain.at_first = score(0);
  if ((target - model_.window - chain.window_row) % scores_.stride != 0) return;
  for (std::int64_t i = 0; i < values; ++i) scores_.out[row * values + i] = score(i);
  if (values == 1 && held_ != kWholeRow && state_at(row - lane.row, column) == kTooLargeRow) {
    scores_.out[row] = std::numeric_limits<float>::infinity();
  }
}

}  // namespace slidecell
