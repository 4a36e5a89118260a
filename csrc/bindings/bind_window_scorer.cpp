// _core.WindowScorer: scores of flattened windows of numpy arrays.
#include <utility>

#include "bindings.h"
#include "checked.h"
#include "slidecell/window_scorer.hpp"
#include "without_gil.h"

namespace {

using slidecell::FlatWindows;
using slidecell::WindowScorer;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::vector<float> floats(py::handle value, const char* name) {
  const Floats values(real_array(value, name));
  return {values.data(), values.data() + values.size()};
}

std::vector<double> doubles(py::handle value, const char* name) {
  const py::array_t<double, py::array::c_style | py::array::forcecast> values(
      real_array(value, name));
  return {values.data(), values.data() + values.size()};
}

FlatWindows flat_windows(std::int64_t window, std::int64_t features, py::handle varying,
                         py::handle center, py::handle scale) {
  FlatWindows windows{window, features, doubles(center, "center"), doubles(scale, "scale"), {}};
  const py::array_t<std::int64_t> chosen = integer_array(varying, "varying", "[V]");
  for (py::ssize_t i = 0; i < chosen.size(); ++i) {
    const std::int64_t f = chosen.data()[i];
    // Beyond 32 bits it is no feature, and the scorer says so.
    windows.varying.push_back(f == static_cast<std::int32_t>(f) ? static_cast<std::int32_t>(f)
                                                                : -1);
  }
  return windows;
}

py::array_t<float> score(const WindowScorer& scorer, py::handle series, py::handle offsets,
                         bool per_feature, std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const std::string F = std::to_string(scorer.features());
  const slidecell::SeriesView view = series_view(rows, "series", "[S, " + F + "]");
  const std::vector<std::int64_t> bounds = offsets_from(offsets, view.rows);
  const int threads = thread_count(num_threads);
  std::vector<std::int64_t> shape{view.rows};
  if (per_feature) shape.push_back(scorer.features());
  py::array_t<float> result = output_array(py::none(), shape, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    scorer.score(view, bounds, data, per_feature, threads);
  }
  return result;
}

py::array_t<float> score_own(const WindowScorer& scorer, py::handle series, py::handle offsets,
                             py::handle starts, std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const std::string F = std::to_string(scorer.features());
  const slidecell::SeriesView view = series_view(rows, "series", "[S, " + F + "]");
  const std::vector<std::int64_t> bounds = offsets_from(offsets, view.rows);
  const py::array_t<std::int64_t> first = integer_array(starts, "starts", "[P]");
  const int threads = thread_count(num_threads);
  py::array_t<float> result = output_array(py::none(), {view.rows}, rows);
  float* const data = result.mutable_data();
  {
    const WithoutGil release;
    scorer.score_own(view, bounds, {first.data(), static_cast<std::size_t>(first.size())}, data,
                     threads);
  }
  return result;
}

py::array_t<double> row_means(py::handle given, py::handle offsets, std::int64_t before,
                              std::int64_t after, bool own, std::optional<int> num_threads) {
  const Floats scores(real_array(given, "scores"));
  if (scores.ndim() != 1) {
    throw py::value_error("scores: expected [S], got " + shape_text(shape_of(scores)));
  }
  const std::vector<std::int64_t> bounds = offsets_from(offsets, scores.size());
  const int threads = thread_count(num_threads);
  py::array_t<double> result(scores.size());
  double* const data = result.mutable_data();
  {
    const WithoutGil release;
    slidecell::row_means({scores.data(), static_cast<std::size_t>(scores.size())}, bounds, before,
                         after, own, data, threads);
  }
  return result;
}

WindowScorer nearest(const FlatWindows& windows, py::handle points, std::int64_t neighbors) {
  return WindowScorer::nearest(windows, floats(points, "points"), neighbors);
}

WindowScorer subspace(const FlatWindows& windows, py::handle mean, py::handle components) {
  return WindowScorer::subspace(windows, floats(mean, "mean"), floats(components, "components"));
}

WindowScorer forecast(const FlatWindows& windows, py::handle weights, py::handle bias, py::handle a,
                      py::handle b) {
  return WindowScorer::forecast(windows, floats(weights, "weights"), floats(bias, "bias"),
                                floats(a, "a"), floats(b, "b"));
}

}  // namespace

void bind_window_scorer(py::module_& m) {
  checked::Class<FlatWindows>(m, "FlatWindows",
                              "How windows become vectors: which features, centred and scaled.")
      .make(&flat_windows, py::kw_only(), py::arg("window"), py::arg("features"),
            py::arg("varying"), py::arg("center"), py::arg("scale"));
  checked::Class<WindowScorer>(m, "WindowScorer",
                               "Scores of flattened windows; made by its static methods.")
      .def_static("nearest", &nearest,
                  "Return a scorer by the mean distance to the nearest points.", py::arg("windows"),
                  py::arg("points"), py::arg("neighbors"))
      .def_static("subspace", &subspace, "Return a scorer by the distance to a subspace.",
                  py::arg("windows"), py::arg("mean"), py::arg("components"))
      .def_static("forecast", &forecast, "Return a scorer by the error of a linear forecast.",
                  py::arg("windows"), py::arg("weights"), py::arg("bias"), py::arg("a"),
                  py::arg("b"))
      .def_property_readonly("window", &WindowScorer::window, "W, rows of a window.")
      .def_property_readonly("features", &WindowScorer::features, "F, features per row.")
      .def_property_readonly("horizon", &WindowScorer::horizon,
                             "K, rows that are forecast; 0: none.")
      .def("score_own", &score_own,
           "Return scores [n] of windows that are among the points, each left out for itself.",
           py::arg("series"), py::arg("offsets"), py::arg("starts"), py::kw_only(),
           py::arg("num_threads"))
      .def("score", &score, "Return the score of every row's window: [S], or [S, F] per feature.",
           py::arg("series"), py::arg("offsets"), py::kw_only(), py::arg("per_feature"),
           py::arg("num_threads"));
  checked::def(m, "row_means", &row_means,
               "Return the mean of the scores [n] of the windows that hold each row: [S].",
               py::arg("scores"), py::arg("offsets"), py::kw_only(), py::arg("before"),
               py::arg("after"), py::arg("own"), py::arg("num_threads"));
}
