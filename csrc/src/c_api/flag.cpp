// Audited flags of the C interface.
#include <algorithm>
#include <cstdio>
#include <string>

#include "c_api/errors.h"
#include "c_api/handles.h"

namespace {

using slidecell::FlagAudit;
using slidecell::FlagOptions;
using slidecell::Reduction;
using slidecell::Span;
using slidecell::Speculate;
using namespace slidecell::c_api;

// The enumerations of C have the numbers of those of C++.
constexpr bool same_number(int c, Speculate cpp) { return c == static_cast<int>(cpp); }
static_assert(same_number(SLIDECELL_SPECULATE_AUTOMATIC, Speculate::automatic));
static_assert(same_number(SLIDECELL_SPECULATE_NONE, Speculate::none));
static_assert(same_number(SLIDECELL_SPECULATE_MEDIUM, Speculate::medium));
static_assert(same_number(SLIDECELL_SPECULATE_LOW, Speculate::low));
static_assert(same_number(SLIDECELL_SPECULATE_CARRIED, Speculate::carried));
static_assert(same_number(SLIDECELL_SPECULATE_CARRIED_LOW, Speculate::carried_low));

FlagOptions flag_options(const slidecell_flag_options* given) {
  FlagOptions options;
  if (!given) return options;
  options.reduction = choice<Reduction>(given->reduction, 5, "reduction");
  options.speculate = choice<Speculate>(given->speculate, 6, "speculate");
  options.moving_average = given->moving_average;
  options.trailing_mean = given->trailing_mean;
  if (given->stride != 0) options.stride = given->stride;
  if (given->audit != 0) options.audit = given->audit;
  options.certify = given->certify != 0;
  options.num_threads = given->num_threads;
  return options;
}

void write_audit(const FlagAudit& found, slidecell_flag_audit* audit) {
  std::string reasons;
  for (const std::string& reason : found.reasons) {
    reasons += (reasons.empty() ? "" : "\n") + reason;
  }
  std::snprintf(audit->method, sizeof audit->method, "%s", found.method.c_str());
  std::snprintf(audit->reasons, sizeof audit->reasons, "%s", reasons.c_str());
  audit->windows = found.windows;
  audit->exact = found.exact;
  audit->seams = found.seams;
  audit->seam_p99 = found.seam_p99;
  audit->whole_blocks = found.whole_blocks;
  audit->certified = found.certified ? 1 : 0;
  audit->absolute = found.absolute ? 1 : 0;
  audit->cheap = found.cheap;
  audit->verified = found.verified;
  audit->wrong = found.wrong;
  audit->wrong_at_most = found.wrong_at_most;
}

template <class T>
int flag(const slidecell_model* model, const T* series, int64_t num_rows, const double* thresholds,
         int64_t num_thresholds, const int64_t* offsets, int64_t num_entities,
         const slidecell_flag_options* options, uint8_t* flagged, float* scores, uint8_t* exact,
         double* margin, slidecell_flag_audit* audit) {
  return guarded([&] {
    require(model, "model");
    require_array(series, num_rows, "series", "num_rows");
    require_array(thresholds, num_thresholds, "thresholds", "num_thresholds");
    if (offsets) require_array(offsets, num_entities, "offsets", "num_entities");
    require_array(flagged, num_rows, "flagged", "num_rows");
    require_array(scores, num_rows, "scores", "num_rows");
    require_array(exact, num_rows, "exact", "num_rows");
    const Span<const std::int64_t> bounds =
        offsets ? Span<const std::int64_t>(offsets, static_cast<std::size_t>(num_entities) + 1)
                : Span<const std::int64_t>();
    const FlagAudit found =
        model->model.flag(rows_view(series, num_rows, model->model.input_size()),
                          {thresholds, static_cast<std::size_t>(num_thresholds)}, bounds, flagged,
                          scores, exact, flag_options(options));
    if (margin) std::copy(found.margin.begin(), found.margin.end(), margin);
    if (audit) write_audit(found, audit);
  });
}

}  // namespace

int slidecell_flag(const slidecell_model* model, const float* series, int64_t num_rows,
                   const double* thresholds, int64_t num_thresholds, const int64_t* offsets,
                   int64_t num_entities, const slidecell_flag_options* options, uint8_t* flagged,
                   float* scores, uint8_t* exact, double* margin, slidecell_flag_audit* audit) {
  return flag(model, series, num_rows, thresholds, num_thresholds, offsets, num_entities, options,
              flagged, scores, exact, margin, audit);
}
int slidecell_flag_f64(const slidecell_model* model, const double* series, int64_t num_rows,
                       const double* thresholds, int64_t num_thresholds, const int64_t* offsets,
                       int64_t num_entities, const slidecell_flag_options* options,
                       uint8_t* flagged, float* scores, uint8_t* exact, double* margin,
                       slidecell_flag_audit* audit) {
  return flag(model, series, num_rows, thresholds, num_thresholds, offsets, num_entities, options,
              flagged, scores, exact, margin, audit);
}
