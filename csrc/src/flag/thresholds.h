// The thresholds of a call: one, one per entity, or one per row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "slidecell/span.hpp"
#include "slidecell/windows.hpp"

namespace slidecell {

class Thresholds {
 public:
  // values [1], [G] or [S]; [G] where G equals S.
  Thresholds(Span<const double> values, const WindowPlan& plan)
      : values_(values),
        by_entity_(values.size() == static_cast<std::size_t>(plan.num_entities())),
        one_(values.size() == 1) {}

  double at(std::int64_t entity, std::int64_t row) const {
    if (one_) return values_[0];
    return values_[static_cast<std::size_t>(by_entity_ ? entity : row)];
  }
  // Whether one is positive and finite.
  bool any_positive() const {
    return std::any_of(values_.begin(), values_.end(),
                       [](double t) { return t > 0 && std::isfinite(t); });
  }

 private:
  Span<const double> values_;
  bool by_entity_, one_;
};

}  // namespace slidecell
