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

// Smooths the finite scores of each entity by a moving average ("moving_average", n) or an
// exponentially weighted one ("ewma", alpha) and compares them with a fixed threshold. Its numbers
// are those of the Python Monitor. One thread at a time may use it. It allocates only when built.
class SLIDECELL_API Monitor {
 public:
  // Throws std::invalid_argument if the model's smoothing or threshold is damaged, UnsupportedError
  // if its threshold moves with the scores (CUSUM, SPOT, rolling quantile): Python has those.
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
  std::int64_t length_;              // moving average; 0: none
  std::vector<double> kept_;         // [entities][length, or 1 for ewma]
  std::vector<std::int64_t> count_;  // [entities] finite scores so far
};

}  // namespace slidecell
