// A stream with the smoothing and the threshold of its model file: it turns rows into alarms.
#pragma once

#include <cstdint>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/stream.hpp"

namespace slidecell {

struct Event {
  float score = 0;      // as Stream::push
  double smoothed = 0;  // the score itself without smoothing; NaN where the score is
  bool alarm = false;   // smoothed > threshold; false where the score is NaN
};

// Smooths the finite scores of each entity and compares them with a fixed threshold: by the mean of
// the last n of them ("moving_average"), of those among the last n rows ("trailing_mean"), or by an
// exponentially weighted average ("ewma", alpha). Its numbers
// are those of the Python Monitor. One thread at a time may use it. It allocates only when built.
class SLIDECELL_API Monitor {
 public:
  // Throws std::invalid_argument if the model's smoothing or threshold is damaged, UnsupportedError
  // if its threshold moves with the scores (CUSUM, SPOT, rolling quantile): Python has those. Where
  // the file says which scores its threshold is for, those are taken unless options ask for others,
  // which is refused.
  Monitor(const SequenceModel& model, std::int64_t num_entities, const StreamOptions& options = {});

  // row [F], as Stream::push.
  Status push(std::int64_t entity, const float* row, Event& event) noexcept;
  Status push(std::int64_t entity, const double* row, Event& event) noexcept;
  Status reset(std::int64_t entity) noexcept;

  double threshold() const noexcept { return threshold_; }  // NaN: none, no alarms
  Stream& stream() noexcept { return stream_; }  // for advance, predict_next; push rows here only

 private:
  bool knows(std::int64_t entity) const noexcept;
  void judge(std::int64_t entity, Event& event) noexcept;
  double smooth(std::int64_t entity, double score) noexcept;

  Stream stream_;
  double threshold_;
  double alpha_;                     // ewma; 0: no ewma
  std::int64_t length_;              // moving average and trailing mean; 0: none
  bool rows_;                        // trailing mean: a row without a score takes a place too
  std::vector<double> kept_;         // [entities][length, or 1 for ewma]
  std::vector<std::int64_t> count_;  // [entities] finite scores, or rows, so far
};

}  // namespace slidecell
