// What a threshold is compared with: the scores of an entity, or moving averages of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "flag/cheap_pass.h"
#include "slidecell/model.hpp"
#include "slidecell/windows.hpp"

namespace slidecell {

// The rows of one entity that have a score, in order, and the value of each that is compared with
// the threshold: its own score, or the mean of it and of some before it, as the smoothings of
// slidecell.thresholds compute it, bit for bit.
class JudgedRows {
 public:
  JudgedRows(const WindowPlan& plan, const FlagOptions& options);

  // Reads the scores [S] at the windows first .. end-1 (of the plan) of an entity.
  void load(std::int64_t entity, WindowRange range, const float* scores);

  std::size_t size() const { return rows_.size(); }
  std::int64_t row(std::size_t i) const { return rows_[i]; }  // of the series
  std::int64_t window(std::size_t i) const {                  // of the plan
    return first_window_ + (rows_[i] - first_row_) / plan_.stride();
  }
  double value(std::size_t i) const { return values_[i]; }
  // value(i) is that of rows oldest(i) .. i.
  std::size_t oldest(std::size_t i) const { return averages() ? oldest_[i] : i; }

 private:
  bool averages() const { return scores_averaged_ > 0 || rows_averaged_ > 0; }
  void find_oldest();
  void average();

  const WindowPlan& plan_;
  std::int64_t scores_averaged_, rows_averaged_;  // at most one is not 0
  int num_threads_;
  std::int64_t first_window_ = 0, first_row_ = 0;
  std::vector<std::int64_t> rows_;
  std::vector<double> values_, scores_;
  std::vector<std::size_t> oldest_;
};

}  // namespace slidecell
