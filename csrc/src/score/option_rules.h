// What the options of scores mean, one switch for each question: a new option must answer it.
#pragma once

#include <cstdint>

#include "slidecell/model.hpp"

namespace slidecell {

constexpr Precision kLastPrecision = Precision::low;
constexpr Reduction kLastReduction = Reduction::calibrated;

// Whether errors are whitened, for which a model needs their mean and covariance.
inline bool whitens(Reduction reduction) {
  switch (reduction) {
    case Reduction::mse:
    case Reduction::mae:
    case Reduction::nll:
    case Reduction::calibrated:
      return false;
    case Reduction::mahalanobis:
      break;
  }
  return true;
}

// Whether errors are weighed by their predicted variance, for which a model needs log variances.
inline bool takes_variance(Reduction reduction) {
  switch (reduction) {
    case Reduction::mse:
    case Reduction::mae:
    case Reduction::mahalanobis:
    case Reduction::calibrated:
      return false;
    case Reduction::nll:
      break;
  }
  return true;
}

// The first predicted row of a window that counts.
inline std::int64_t first_row(Aggregate aggregate, std::int64_t window) {
  switch (aggregate) {
    case Aggregate::window:
    case Aggregate::mean:
      return 0;
    case Aggregate::last:
      break;
  }
  return window - 1;
}

// Whether a row's score is made of all windows that hold it, also of those that end later.
inline bool averages_rows(Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::window:
    case Aggregate::last:
      return false;
    case Aggregate::mean:
      break;
  }
  return true;
}

// Whether one state serves the windows of a block.
inline bool carries(Windows windows) {
  switch (windows) {
    case Windows::exact:
      return false;
    case Windows::carried:
      break;
  }
  return true;
}

// The bf16 parts of a float32 number that a precision asks for.
inline int parts_of(Precision precision) {
  switch (precision) {
    case Precision::highest:
      return 3;
    case Precision::high:
      return 2;
    case Precision::medium:
    case Precision::low:
      break;
  }
  return 1;
}

// Whether recurrent products are of 8-bit codes where these serve the model.
inline bool asks_for_codes(Precision precision) {
  switch (precision) {
    case Precision::highest:
    case Precision::high:
    case Precision::medium:
      return false;
    case Precision::low:
      break;
  }
  return true;
}

// Whether the weights of a stream of few entities are bf16, where its products are not of codes.
inline bool streams_bf16(Precision precision) { return parts_of(precision) == 1; }

inline const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::highest:
      return "highest";
    case Precision::high:
      return "high";
    case Precision::medium:
      return "medium";
    case Precision::low:
      break;
  }
  return "low";
}

}  // namespace slidecell
