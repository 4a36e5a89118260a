// A stream with the smoothing and the threshold that its model file carries: rows in, alarms out.
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

// Per entity: the moving average ("moving_average", n) or exponentially weighted average ("ewma",
// alpha) of the finite scores, against a fixed threshold. The same numbers as the Python Monitor.
// One monitor is used by one thread at a time. Allocates when built and never after.
class SLIDECELL_API Monitor {
 public:
  // Throws std::invalid_argument if the model's smoothing or threshold is damaged, UnsupportedError
  // if its threshold is one that moves with the scores: those run in Python.
  Monitor(const SequenceModel& model, std::int64_t num_entities, const StreamOptions& options = {});

  // row [F], as Stream::push.
  Status push(std::int64_t entity, const float* row, Event& event) noexcept;
  Status push(std::int64_t entity, const double* row, Event& event) noexcept;
  Status reset(std::int64_t entity) noexcept;

  double threshold() const noexcept { return threshold_; }  // NaN: none, no alarms
  Stream& stream() noexcept { return stream_; }  // for advance, predict_next; push rows here only

 private:
  void judge(std::int64_t entity, Event& event) noexcept;
  double smooth(std::int64_t entity, double score) noexcept;

  Stream stream_;
  double threshold_;
  double alpha_;                     // ewma; 0: no ewma
  std::int64_t length_;              // moving average; 0: none
  std::vector<double> kept_;         // [entities][length, or 1 for ewma]
  std::vector<std::int64_t> count_;  // [entities] finite scores so far
};

}  // namespace slidecell
