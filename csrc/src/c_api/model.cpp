// Models of the C interface: load, ask, score, predict, encode.
#include <utility>
#include <vector>

#include "c_api/errors.h"
#include "c_api/handles.h"
#include "slidecell/windows.hpp"

namespace {

using slidecell::SequenceModel;
using slidecell::SeriesView;
using slidecell::Span;
using slidecell::WindowPlan;
using namespace slidecell::c_api;

Span<const std::int64_t> offsets_of(const int64_t* offsets, int64_t num_entities) {
  if (!offsets) return {};
  require_array(offsets, num_entities, "offsets", "num_entities");
  return {offsets, static_cast<std::size_t>(num_entities) + 1};
}

template <class T>
int score(const slidecell_model* model, const T* series, int64_t num_rows, const int64_t* offsets,
          int64_t num_entities, const slidecell_options* options, float* scores) {
  return guarded([&] {
    require(model, "model");
    require_array(series, num_rows, "series", "num_rows");
    require_array(scores, num_rows, "scores", "num_rows");
    const SeriesView view = rows_view(series, num_rows, model->model.input_size());
    model->model.score(view, offsets_of(offsets, num_entities), scores, score_options(options));
  });
}

WindowPlan window_plan(const SequenceModel& model, int64_t num_rows, const int64_t* offsets,
                       int64_t num_entities, int64_t stride) {
  require_count(num_rows, "num_rows");
  const Span<const std::int64_t> given = offsets_of(offsets, num_entities);
  std::vector<std::int64_t> bounds(given.begin(), given.end());
  if (!offsets) bounds = {0, num_rows};
  WindowPlan plan(std::move(bounds), model.window(), model.horizon(), stride == 0 ? 1 : stride);
  if (plan.num_rows() != num_rows) {
    throw std::invalid_argument("offsets: expected to end at " + std::to_string(num_rows) +
                                " (num_rows), got " + std::to_string(plan.num_rows()));
  }
  return plan;
}

// The windows of a series, and what `write` computes of them.
template <class T, class Write>
int for_windows(const slidecell_model* model, const T* series, int64_t num_rows,
                const int64_t* offsets, int64_t num_entities, int64_t stride, const char* out_name,
                const float* out, Write write) {
  return guarded([&] {
    require(model, "model");
    require_array(series, num_rows, "series", "num_rows");
    const WindowPlan plan = window_plan(model->model, num_rows, offsets, num_entities, stride);
    require_array(out, plan.size(), out_name, "num_rows");
    write(rows_view(series, num_rows, model->model.input_size()), plan);
  });
}

template <class T>
int predict(const slidecell_model* model, const T* series, int64_t num_rows, const int64_t* offsets,
            int64_t num_entities, int64_t stride, int32_t num_threads, float* out) {
  return for_windows(model, series, num_rows, offsets, num_entities, stride, "predictions", out,
                     [&](const SeriesView& view, const WindowPlan& plan) {
                       model->model.predict(view, plan, out, num_threads);
                     });
}

template <class T>
int predict_log_variance(const slidecell_model* model, const T* series, int64_t num_rows,
                         const int64_t* offsets, int64_t num_entities, int64_t stride,
                         int32_t num_threads, float* out) {
  return for_windows(model, series, num_rows, offsets, num_entities, stride, "log_variances", out,
                     [&](const SeriesView& view, const WindowPlan& plan) {
                       model->model.predict_log_variance(view, plan, out, num_threads);
                     });
}

template <class T>
int encode(const slidecell_model* model, const T* series, int64_t num_rows, const int64_t* offsets,
           int64_t num_entities, int64_t stride, int32_t num_threads, float* out) {
  return for_windows(model, series, num_rows, offsets, num_entities, stride, "codes", out,
                     [&](const SeriesView& view, const WindowPlan& plan) {
                       model->model.encode(view, plan, out, num_threads);
                     });
}

}  // namespace

int slidecell_model_load(const char* path, slidecell_model** model) {
  return guarded([&] {
    require(model, "model");
    *model = nullptr;
    require(path, "path");
    *model = new slidecell_model{SequenceModel::load(path)};
  });
}

void slidecell_model_free(slidecell_model* model) { delete model; }

int64_t slidecell_model_input_size(const slidecell_model* model) {
  return model ? model->model.input_size() : -1;
}
int64_t slidecell_model_window(const slidecell_model* model) {
  return model ? model->model.window() : -1;
}
int64_t slidecell_model_horizon(const slidecell_model* model) {
  return model ? model->model.horizon() : -1;
}
int64_t slidecell_model_num_targets(const slidecell_model* model) {
  return model ? model->model.num_targets() : -1;
}
int64_t slidecell_model_code_size(const slidecell_model* model) {
  return model ? model->model.code_size() : -1;
}

int32_t slidecell_model_reduction(const slidecell_model* model) {
  if (!model || !model->model.reduction()) return -1;
  return static_cast<int32_t>(*model->model.reduction());
}

const char* slidecell_model_feature(const slidecell_model* model, int64_t index) {
  if (!model || index < 0) return nullptr;
  const std::vector<std::string>& names = model->model.features();
  const auto i = static_cast<std::size_t>(index);
  return i < names.size() ? names[i].c_str() : nullptr;
}

int slidecell_model_decision(const slidecell_model* model, slidecell_decision* decision) {
  return guarded([&] {
    require(model, "model");
    require(decision, "decision");
    const slidecell::Decision found = model->model.decision();
    *decision = {found.threshold, found.ewma_alpha, found.moving_average, found.trailing_mean,
                 found.reduction ? static_cast<int32_t>(*found.reduction) : -1};
  });
}

int slidecell_model_plan(const slidecell_model* model, const slidecell_options* options,
                         slidecell_plan* plan) {
  return guarded([&] {
    require(model, "model");
    require(plan, "plan");
    const slidecell::ScoreOptions given = score_options(options);
    write_plan(model->model.plan(given.precision, given.num_threads, given.kernel), plan);
  });
}

int slidecell_score(const slidecell_model* model, const float* series, int64_t num_rows,
                    const int64_t* offsets, int64_t num_entities, const slidecell_options* options,
                    float* scores) {
  return score(model, series, num_rows, offsets, num_entities, options, scores);
}
int slidecell_score_f64(const slidecell_model* model, const double* series, int64_t num_rows,
                        const int64_t* offsets, int64_t num_entities,
                        const slidecell_options* options, float* scores) {
  return score(model, series, num_rows, offsets, num_entities, options, scores);
}

int slidecell_num_windows(const slidecell_model* model, int64_t num_rows, const int64_t* offsets,
                          int64_t num_entities, int64_t stride, int64_t* num_windows) {
  return guarded([&] {
    require(model, "model");
    require(num_windows, "num_windows");
    *num_windows = window_plan(model->model, num_rows, offsets, num_entities, stride).size();
  });
}

int slidecell_window_starts(const slidecell_model* model, int64_t num_rows, const int64_t* offsets,
                            int64_t num_entities, int64_t stride, int64_t* starts) {
  return guarded([&] {
    require(model, "model");
    const WindowPlan plan = window_plan(model->model, num_rows, offsets, num_entities, stride);
    require_array(starts, plan.size(), "starts", "num_rows");
    for (std::int64_t g = 0, i = 0; g < plan.num_entities(); ++g) {
      const auto entity = static_cast<std::size_t>(g);
      const std::int64_t first = plan.first_window()[entity];
      // By products: a row beyond the last window may be no number that there is.
      for (; i < plan.first_window()[entity + 1]; ++i) {
        starts[i] = plan.offsets()[entity] + (i - first) * plan.stride();
      }
    }
  });
}

int slidecell_predict(const slidecell_model* model, const float* series, int64_t num_rows,
                      const int64_t* offsets, int64_t num_entities, int64_t stride,
                      int32_t num_threads, float* predictions) {
  return predict(model, series, num_rows, offsets, num_entities, stride, num_threads, predictions);
}
int slidecell_predict_f64(const slidecell_model* model, const double* series, int64_t num_rows,
                          const int64_t* offsets, int64_t num_entities, int64_t stride,
                          int32_t num_threads, float* predictions) {
  return predict(model, series, num_rows, offsets, num_entities, stride, num_threads, predictions);
}

int slidecell_predict_log_variance(const slidecell_model* model, const float* series,
                                   int64_t num_rows, const int64_t* offsets, int64_t num_entities,
                                   int64_t stride, int32_t num_threads, float* log_variances) {
  return predict_log_variance(model, series, num_rows, offsets, num_entities, stride, num_threads,
                              log_variances);
}
int slidecell_predict_log_variance_f64(const slidecell_model* model, const double* series,
                                       int64_t num_rows, const int64_t* offsets,
                                       int64_t num_entities, int64_t stride, int32_t num_threads,
                                       float* log_variances) {
  return predict_log_variance(model, series, num_rows, offsets, num_entities, stride, num_threads,
                              log_variances);
}

int slidecell_encode(const slidecell_model* model, const float* series, int64_t num_rows,
                     const int64_t* offsets, int64_t num_entities, int64_t stride,
                     int32_t num_threads, float* codes) {
  return encode(model, series, num_rows, offsets, num_entities, stride, num_threads, codes);
}
int slidecell_encode_f64(const slidecell_model* model, const double* series, int64_t num_rows,
                         const int64_t* offsets, int64_t num_entities, int64_t stride,
                         int32_t num_threads, float* codes) {
  return encode(model, series, num_rows, offsets, num_entities, stride, num_threads, codes);
}
