// What the handles of the C interface hold, and its options and plans as those of C++.
#pragma once

#include <memory>

#include "slidecell/model.hpp"
#include "slidecell/monitor.hpp"
#include "slidecell/slidecell.h"
#include "slidecell/stream.hpp"

struct slidecell_model {
  slidecell::SequenceModel model;
};

// Either owns its stream or lends that of a monitor.
struct slidecell_stream {
  std::unique_ptr<slidecell::Stream> owned;
  slidecell::Stream* stream;
};

struct slidecell_monitor {
  slidecell::Monitor monitor;
  slidecell_stream stream;
};

namespace slidecell::c_api {

// All of these throw std::invalid_argument on a value that is none of the enumeration's. Null: the
// defaults.
ScoreOptions score_options(const slidecell_options* options);
StreamOptions stream_options(const slidecell_options* options);

void write_plan(const KernelPlan& plan, slidecell_plan* out);

// Rows [n, F] of either type.
SeriesView rows_view(const float* rows, std::int64_t n, std::int64_t F);
SeriesView rows_view(const double* rows, std::int64_t n, std::int64_t F);

}  // namespace slidecell::c_api
