// _core.SequenceModel: scores, predictions and codes of numpy arrays.
#include <utility>

#include "bindings.h"
#include "checked.h"
#include "choices.h"
#include "slidecell/model.hpp"
#include "without_gil.h"

namespace {

using slidecell::SequenceModel;
using slidecell::Tensor;
using slidecell::TensorMap;
using slidecell::WindowPlan;

SequenceModel make_model(const std::string& metadata, const py::dict& tensors) {
  TensorMap map;
  for (const auto& [key, value] : tensors) {
    const auto array =
        py::cast<py::array_t<float, py::array::c_style | py::array::forcecast>>(value);
    map[py::cast<std::string>(key)] =
        Tensor{shape_of(array), {array.data(), array.data() + array.size()}};
  }
  return SequenceModel(metadata, map);
}

slidecell::SeriesView view_of(const SequenceModel& model, const py::array& rows) {
  const std::string F = std::to_string(model.input_size());
  return series_view(rows, "series", "[S, " + F + "] (model input_size=" + F + ")");
}

py::array_t<float> score(const SequenceModel& model, py::handle series, py::handle offsets,
                         const std::string& precision, const std::string& kernel,
                         const std::string& reduction, const std::string& aggregate,
                         bool per_feature, std::int64_t stride, const std::string& windows,
                         std::optional<int> num_threads, py::handle out) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = view_of(model, rows);
  const std::vector<std::int64_t> bounds = offsets_from(offsets, view.rows);
  const slidecell::ScoreOptions options{precision_of(precision),
                                        reduction_of(reduction),
                                        aggregate_of(aggregate),
                                        per_feature,
                                        stride,
                                        thread_count(num_threads),
                                        kernel_of(kernel),
                                        windows_of(windows)};
  std::vector<std::int64_t> shape{view.rows};
  if (per_feature) shape.push_back(model.num_targets());
  py::array_t<float> result = output_array(out, shape, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    model.score(view, bounds, data, options);
  }
  return result;
}

WindowPlan plan_of(const SequenceModel& model, py::handle offsets, std::int64_t rows) {
  return WindowPlan(offsets_from(offsets, rows), model.window(), model.horizon());
}

py::array_t<float> predict(const SequenceModel& model, py::handle series, py::handle offsets,
                           std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = view_of(model, rows);
  const WindowPlan plan = plan_of(model, offsets, view.rows);
  const int threads = thread_count(num_threads);
  const std::int64_t steps = model.horizon() > 0 ? model.horizon() : model.window();
  py::array_t<float> result =
      output_array(py::none(), {plan.size(), steps, model.num_targets()}, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    model.predict(view, plan, data, threads);
  }
  return result;
}

py::array_t<float> predict_log_variance(const SequenceModel& model, py::handle series,
                                        py::handle offsets, std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = view_of(model, rows);
  const WindowPlan plan = plan_of(model, offsets, view.rows);
  const int threads = thread_count(num_threads);
  py::array_t<float> result =
      output_array(py::none(), {plan.size(), model.horizon(), model.num_targets()}, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    model.predict_log_variance(view, plan, data, threads);
  }
  return result;
}

py::array_t<float> encode(const SequenceModel& model, py::handle series, py::handle offsets,
                          std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = view_of(model, rows);
  const WindowPlan plan = plan_of(model, offsets, view.rows);
  const int threads = thread_count(num_threads);
  py::array_t<float> result = output_array(py::none(), {plan.size(), model.code_size()}, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    model.encode(view, plan, data, threads);
  }
  return result;
}

py::dict audit_dict(const slidecell::FlagAudit& audit) {
  py::dict result;
  result["method"] = audit.method;
  result["reasons"] = audit.reasons;
  result["windows"] = audit.windows;
  result["exact"] = audit.exact;
  result["seams"] = audit.seams;
  result["seam_p99"] = audit.seam_p99;
  result["whole_blocks"] = audit.whole_blocks;
  result["certified"] = audit.certified;
  result["absolute"] = audit.absolute;
  result["margin"] =
      py::array_t<double>(static_cast<py::ssize_t>(audit.margin.size()), audit.margin.data());
  result["cheap"] = audit.cheap;
  result["verified"] = audit.verified;
  result["wrong"] = audit.wrong;
  result["wrong_at_most"] = audit.wrong_at_most;
  return result;
}

// One number, or [n] numbers.
std::vector<double> thresholds_from(py::handle threshold) {
  const py::array numbers = real_array(threshold, "threshold");
  if (numbers.ndim() > 1) {
    throw py::value_error("threshold: expected one number, [G] or [S], got " +
                          shape_text(shape_of(numbers)));
  }
  const auto values =
      py::cast<py::array_t<double, py::array::c_style | py::array::forcecast>>(numbers);
  return {values.data(), values.data() + values.size()};
}

py::tuple flag(const SequenceModel& model, py::handle series, py::handle threshold,
               py::handle offsets, const std::string& reduction, std::int64_t moving_average,
               std::int64_t trailing_mean, std::int64_t stride, std::int64_t audit,
               const std::string& speculate, bool certify, std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = view_of(model, rows);
  const std::vector<std::int64_t> bounds = offsets_from(offsets, view.rows);
  const std::vector<double> thresholds = thresholds_from(threshold);
  slidecell::FlagOptions options;
  options.reduction = reduction_of(reduction);
  options.moving_average = moving_average;
  options.trailing_mean = trailing_mean;
  options.stride = stride;
  options.audit = audit;
  options.speculate = speculate_of(speculate);
  options.certify = certify;
  options.num_threads = thread_count(num_threads);
  py::array_t<bool> flagged(view.rows), exact(view.rows);
  py::array_t<float> score(view.rows);
  static_assert(sizeof(bool) == sizeof(std::uint8_t));
  auto* const flags = reinterpret_cast<std::uint8_t*>(flagged.mutable_data());
  auto* const exacts = reinterpret_cast<std::uint8_t*>(exact.mutable_data());
  float* const scores = score.mutable_data();
  slidecell::FlagAudit found;
  {
    const WithoutGil release;
    found = model.flag(view, thresholds, bounds, flags, scores, exacts, options);
  }
  return py::make_tuple(flagged, score, exact, audit_dict(found));
}

py::dict plan(const SequenceModel& model, const std::string& precision, const std::string& kernel,
              std::optional<int> num_threads) {
  const slidecell::KernelPlan plan =
      model.plan(precision_of(precision), thread_count(num_threads), kernel_of(kernel));
  return plan_dict(plan);
}

}  // namespace

void bind_model(py::module_& m) {
  checked::Class<SequenceModel>(
      m, "SequenceModel", "A recurrent network with its head, and the windows that it scores.")
      .make(&make_model, py::arg("metadata"), py::arg("tensors"))
      .def_property_readonly("input_size", &SequenceModel::input_size, "F, features per row.")
      .def_property_readonly("window", &SequenceModel::window, "W, rows of a window.")
      .def_property_readonly("horizon", &SequenceModel::horizon,
                             "K, rows that are forecast; 0: none.")
      .def_property_readonly("num_targets", &SequenceModel::num_targets,
                             "C, features that are predicted per row.")
      .def_property_readonly("code_size", &SequenceModel::code_size,
                             "Numbers in the encoder's last h.")
      .def("score", &score,
           "Return the score of every row's window: [S], or [S, C] per feature; NaN where there is "
           "none.",
           py::arg("series"), py::arg("offsets"), py::kw_only(), py::arg("precision"),
           py::arg("kernel"), py::arg("reduction"), py::arg("aggregate"), py::arg("per_feature"),
           py::arg("stride"), py::arg("windows"), py::arg("num_threads"), py::arg("out"))
      .def("flag", &flag,
           "Return flags [S], scores [S], which of them are exact [S], and a dict: the audit.",
           py::arg("series"), py::arg("threshold"), py::arg("offsets"), py::kw_only(),
           py::arg("reduction"), py::arg("moving_average"), py::arg("trailing_mean"),
           py::arg("stride"), py::arg("audit"), py::arg("speculate"), py::arg("certify"),
           py::arg("num_threads"))
      .def("predict", &predict,
           "Return the prediction of every window: [N, K, C] of a forecaster, [N, W, C] of an "
           "autoencoder.",
           py::arg("series"), py::arg("offsets"), py::kw_only(), py::arg("num_threads"))
      .def("predict_log_variance", &predict_log_variance,
           "Return the logarithm of the variance of every prediction: [N, K, C].",
           py::arg("series"), py::arg("offsets"), py::kw_only(), py::arg("num_threads"))
      .def("encode", &encode, "Return the encoder's last h of every window: [N, code_size].",
           py::arg("series"), py::arg("offsets"), py::kw_only(), py::arg("num_threads"))
      .def("plan", &plan, "Return which kernels a call would run, and on how many threads.",
           py::arg("precision"), py::kw_only(), py::arg("kernel"), py::arg("num_threads"));
}
