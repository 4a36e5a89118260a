// _core.WindowPlan: sliding windows of numpy arrays.
#include <utility>

#include "bindings.h"
#include "checked.h"
#include "slidecell/windows.hpp"
#include "without_gil.h"

namespace {

using slidecell::Span;
using slidecell::WindowPlan;

WindowPlan make_plan(py::handle offsets, std::int64_t window, std::int64_t horizon,
                     std::int64_t stride) {
  const py::array_t<std::int64_t> array = integer_array(offsets, "offsets", "[G+1]");
  return WindowPlan({array.data(), array.data() + array.size()}, window, horizon, stride);
}

py::array_t<std::int64_t> offsets(const WindowPlan& plan) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(plan.offsets().size()),
                                   plan.offsets().data());
}

// First row of every window, plus `shift`: [n].
py::array_t<std::int64_t> starts(const WindowPlan& plan, std::int64_t shift) {
  py::array_t<std::int64_t> result(plan.size());
  std::int64_t* out = result.mutable_data();
  for (std::size_t g = 0; g + 1 < plan.offsets().size(); ++g) {
    const std::int64_t count = plan.first_window()[g + 1] - plan.first_window()[g];
    const std::int64_t first = plan.offsets()[g] + shift;
    for (std::int64_t i = 0; i < count; ++i) *out++ = first + i * plan.stride();
  }
  return result;
}

// X [n, W, F] and y [n, K, F], which is empty without a horizon: the caller's `out` or new arrays.
struct Output {
  py::array_t<float> x, y;
  bool has_target;
  float* x_data;
  float* y_data;  // null without a horizon

  Output(std::int64_t n, std::int64_t window, std::int64_t horizon, py::handle out,
         const py::array& series)
      : has_target(horizon > 0) {
    py::object x_out = py::reinterpret_borrow<py::object>(out), y_out = py::none();
    if (has_target && !out.is_none()) {
      if (!py::isinstance<py::tuple>(out) || py::len(out) != 2) {
        throw py::type_error("out: expected a pair (X, y) of arrays, because horizon is not 0");
      }
      x_out = out[py::int_(0)];
      y_out = out[py::int_(1)];
    }
    const std::int64_t cols = series.shape(1);
    x = output_array(x_out, {n, window, cols}, series, has_target ? "out[0]" : "out");
    y = output_array(y_out, {has_target ? n : 0, horizon, cols}, series, "out[1]");
    x_data = x.mutable_data();
    y_data = has_target ? y.mutable_data() : nullptr;
  }

  // X, or with a horizon (X, y).
  py::object result() const {
    if (!has_target) return x;
    return py::make_tuple(x, y);
  }
};

Span<const std::int64_t> span_of(const py::array_t<std::int64_t>& values) {
  return {values.data(), static_cast<std::size_t>(values.size())};
}

// indices None: every window, in order.
py::object gather(const WindowPlan& plan, py::handle series, py::handle indices, py::handle out,
                  std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = series_view(rows, "series");
  const int threads = thread_count(num_threads);
  if (indices.is_none()) {
    const Output to(plan.size(), plan.window(), plan.horizon(), out, rows);
    {
      const WithoutGil release;
      plan.gather_all(view, to.x_data, to.y_data, threads);
    }
    return to.result();
  }
  const py::array_t<std::int64_t> index = integer_array(indices, "indices", "[n]");
  const Output to(index.size(), plan.window(), plan.horizon(), out, rows);
  {
    const WithoutGil release;
    plan.gather(view, span_of(index), to.x_data, to.y_data, threads);
  }
  return to.result();
}

// The windows that begin at rows `starts`.
py::object gather_rows(py::handle series, py::handle starts, std::int64_t window,
                       std::int64_t horizon, py::handle out, std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = series_view(rows, "series");
  const int threads = thread_count(num_threads);
  const py::array_t<std::int64_t> first = integer_array(starts, "starts", "[n]");
  const Output to(first.size(), window, horizon, out, rows);
  {
    const WithoutGil release;
    slidecell::gather_rows(view, span_of(first), window, horizon, to.x_data, to.y_data, threads);
  }
  return to.result();
}

}  // namespace

void bind_windows(py::module_& m) {
  checked::Class<WindowPlan>(m, "WindowPlan", "The sliding windows of a series of entities.")
      .make(&make_plan, py::arg("offsets"), py::arg("window"), py::arg("horizon"),
            py::arg("stride"))
      .def("__len__", &WindowPlan::size, "Return the number of windows.")
      .def_property_readonly("window", &WindowPlan::window, "W, rows of a window.")
      .def_property_readonly("horizon", &WindowPlan::horizon, "K, rows that are forecast; 0: none.")
      .def_property_readonly("stride", &WindowPlan::stride,
                             "Rows from one window of an entity to the next.")
      .def_property_readonly("num_rows", &WindowPlan::num_rows, "S, rows of the series.")
      .def_property_readonly("num_entities", &WindowPlan::num_entities,
                             "Entities that are kept apart.")
      .def_property_readonly("offsets", &offsets,
                             "Where each entity begins, and the last one ends: [G+1].")
      .def("starts", &starts, "Return the first row of every window, plus shift: [n].",
           py::arg("shift"))
      .def("gather", &gather, "Copy windows: X [n, W, F], with a horizon also y [n, K, F].",
           py::arg("series"), py::arg("indices"), py::arg("out"), py::arg("num_threads"));
  checked::def(
      m, "gather_rows", &gather_rows,
      "Copy the windows that begin at rows `starts`: X [n, W, F], with a horizon also y [n, K, F].",
      py::arg("series"), py::arg("starts"), py::arg("window"), py::arg("horizon"), py::arg("out"),
      py::arg("num_threads"));
}
