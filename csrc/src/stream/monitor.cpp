#include "slidecell/monitor.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>

#include "model/model_impl.h"

namespace slidecell {

namespace {

StreamOptions options_of(const SequenceModel& model, StreamOptions options) {
  const std::optional<Reduction> own = model.decision().reduction;
  if (!own) return options;
  if (options.reduction != Reduction::mse && options.reduction != *own) {
    throw std::invalid_argument(
        "reduction: expected that of the model file, whose threshold is for its scores");
  }
  options.reduction = *own;
  return options;
}

}  // namespace

Monitor::Monitor(const SequenceModel& model, std::int64_t num_entities,
                 const StreamOptions& options)
    : stream_(model, num_entities, options_of(model, options)) {
  const Decision decision = model.decision();
  threshold_ = decision.threshold;
  alpha_ = decision.ewma_alpha;
  rows_ = decision.trailing_mean > 0;
  length_ = rows_ ? decision.trailing_mean : decision.moving_average;
  const std::int64_t kept = length_ > 0 ? length_ : 1;
  if (kept > options.max_bytes / static_cast<std::int64_t>(sizeof(double)) / num_entities) {
    throw std::invalid_argument("max_bytes: expected enough for the last " + std::to_string(kept) +
                                " scores (the model's smoothing) of " +
                                std::to_string(num_entities) + " entities, got " +
                                std::to_string(options.max_bytes));
  }
  kept_.assign(static_cast<std::size_t>(num_entities * kept), 0.0);
  count_.assign(static_cast<std::size_t>(num_entities), 0);
}

// The stream may have been resized beyond the entities that are smoothed.
bool Monitor::knows(std::int64_t entity) const noexcept {
  return entity < static_cast<std::int64_t>(count_.size());
}

Status Monitor::push(std::int64_t entity, const float* row, Event& event) noexcept {
  if (!knows(entity)) return Status::unknown_entity;
  const Status status = stream_.push(entity, row, event.score);
  if (status == Status::ok) judge(entity, event);
  return status;
}

Status Monitor::push(std::int64_t entity, const double* row, Event& event) noexcept {
  if (!knows(entity)) return Status::unknown_entity;
  const Status status = stream_.push(entity, row, event.score);
  if (status == Status::ok) judge(entity, event);
  return status;
}

Status Monitor::reset(std::int64_t entity) noexcept {
  if (!knows(entity)) return Status::unknown_entity;
  const Status status = stream_.reset(entity);
  if (status == Status::ok) count_[static_cast<std::size_t>(entity)] = 0;
  return status;
}

void Monitor::judge(std::int64_t entity, Event& event) noexcept {
  const double score = static_cast<double>(event.score);
  const bool finite = std::isfinite(score);
  const double smoothed = finite || rows_ ? smooth(entity, score) : score;
  event.smoothed = finite ? smoothed : score;
  event.alarm = event.smoothed > threshold_;
}

double Monitor::smooth(std::int64_t entity, double score) noexcept {
  std::int64_t& count = count_[static_cast<std::size_t>(entity)];
  if (length_ > 0) {
    double* last = kept_.data() + entity * length_;
    last[count++ % length_] = score;
    // From the oldest to the newest every time: a running sum would drift.
    const std::int64_t held = std::min(count, length_);
    double total = 0.0;
    std::int64_t finite = 0;
    for (std::int64_t i = count - held; i < count; ++i) {
      const double one = last[i % length_];
      if (!std::isfinite(one)) continue;
      total += one;
      ++finite;
    }
    return total / static_cast<double>(finite);
  }
  if (alpha_ <= 0.0) return score;
  double& average = kept_[static_cast<std::size_t>(entity)];
  average = count++ == 0 ? score : average + alpha_ * (score - average);
  return average;
}

}  // namespace slidecell
