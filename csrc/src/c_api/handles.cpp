#include "c_api/handles.h"

#include <cstdio>
#include <stdexcept>

#include "c_api/errors.h"

namespace slidecell::c_api {
namespace {

// The enumerations of C have the numbers of those of C++: choice() converts by the number.
template <class Enum>
constexpr bool same_number(int c, Enum cpp) {
  return c == static_cast<int>(cpp);
}
static_assert(same_number(SLIDECELL_HIGHEST, Precision::highest));
static_assert(same_number(SLIDECELL_HIGH, Precision::high));
static_assert(same_number(SLIDECELL_MEDIUM, Precision::medium));
static_assert(same_number(SLIDECELL_AUTOMATIC, Kernel::automatic));
static_assert(same_number(SLIDECELL_FMA, Kernel::fma));
static_assert(same_number(SLIDECELL_MATRIX, Kernel::matrix));
static_assert(same_number(SLIDECELL_MSE, Reduction::mse));
static_assert(same_number(SLIDECELL_MAE, Reduction::mae));
static_assert(same_number(SLIDECELL_MAHALANOBIS, Reduction::mahalanobis));
static_assert(same_number(SLIDECELL_NLL, Reduction::nll));
static_assert(same_number(SLIDECELL_CALIBRATED, Reduction::calibrated));
static_assert(same_number(SLIDECELL_WINDOW, Aggregate::window));
static_assert(same_number(SLIDECELL_LAST, Aggregate::last));
static_assert(same_number(SLIDECELL_MEAN, Aggregate::mean));
static_assert(same_number(SLIDECELL_EXACT, Windows::exact));
static_assert(same_number(SLIDECELL_CARRIED, Windows::carried));

template <std::size_t size>
void write_text(const std::string& text, char (&out)[size]) {
  std::snprintf(out, size, "%s", text.c_str());
}

}  // namespace

ScoreOptions score_options(const slidecell_options* options) {
  ScoreOptions out;
  if (!options) return out;
  out.precision = choice<Precision>(options->precision, 3, "precision");
  out.reduction = choice<Reduction>(options->reduction, 5, "reduction");
  out.aggregate = choice<Aggregate>(options->aggregate, 3, "aggregate");
  out.kernel = choice<Kernel>(options->kernel, 3, "kernel");
  out.per_feature = options->per_feature != 0;
  if (options->stride != 0) out.stride = options->stride;
  out.num_threads = options->num_threads;
  out.windows = choice<Windows>(options->windows, 2, "windows");
  return out;
}

StreamOptions stream_options(const slidecell_options* options) {
  const ScoreOptions given = score_options(options);
  if (given.per_feature || given.stride != 1) {
    throw std::invalid_argument(
        "options: a stream scores every window as one number; expected per_feature=0 and stride 0 "
        "or 1");
  }
  if (given.kernel == Kernel::matrix) {
    throw std::invalid_argument(
        "kernel: a stream uses float32 multiply-adds; expected SLIDECELL_AUTOMATIC or "
        "SLIDECELL_FMA");
  }
  StreamOptions result{given.precision, given.reduction, given.aggregate};
  if (options && options->max_bytes != 0) result.max_bytes = options->max_bytes;
  result.mode = given.windows;
  return result;
}

void write_plan(const KernelPlan& plan, slidecell_plan* out) {
  write_text(plan.isa, out->isa);
  write_text(plan.kernel, out->kernel);
  write_text(plan.precision, out->precision);
  out->tile = plan.tile;
  out->threads = plan.threads;
}

SeriesView rows_view(const float* rows, std::int64_t n, std::int64_t F) { return {rows, n, F}; }
SeriesView rows_view(const double* rows, std::int64_t n, std::int64_t F) { return {rows, n, F}; }

}  // namespace slidecell::c_api
