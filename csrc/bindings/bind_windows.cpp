// _core.WindowPlan: sliding windows of numpy arrays.
#include <utility>

#include "bindings.h"
#include "slidecell/windows.hpp"

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

// X [n, W, F], or with a horizon (X, y [n, K, F]); `out` likewise.
py::object gather(const WindowPlan& plan, py::handle series, py::handle indices, py::handle out,
                  std::optional<int> num_threads) {
  const py::array rows = real_array(series, "series");
  const slidecell::SeriesView view = series_view(rows, "series");
  const bool all = indices.is_none();  // every window, in order
  const py::array_t<std::int64_t> index =
      all ? py::array_t<std::int64_t>(0) : integer_array(indices, "indices", "[n]");
  const std::int64_t n = all ? plan.size() : index.size();
  const int threads = thread_count(num_threads);

  const bool has_target = plan.horizon() > 0;
  py::object x_out = py::reinterpret_borrow<py::object>(out), y_out = py::none();
  if (has_target && !out.is_none()) {
    if (!py::isinstance<py::tuple>(out) || py::len(out) != 2) {
      throw py::type_error("out: expected a pair (X, y) of arrays, because horizon is not 0");
    }
    x_out = out[py::int_(0)];
    y_out = out[py::int_(1)];
  }
  py::array_t<float> x =
      output_array(x_out, {n, plan.window(), view.cols}, rows, has_target ? "out[0]" : "out");
  py::array_t<float> y =
      output_array(y_out, {has_target ? n : 0, plan.horizon(), view.cols}, rows, "out[1]");

  const Span<const std::int64_t> span(index.data(), static_cast<std::size_t>(index.size()));
  float* const x_data = x.mutable_data();
  float* const y_data = has_target ? y.mutable_data() : nullptr;
  {
    py::gil_scoped_release release;
    if (all) {
      plan.gather_all(view, x_data, y_data, threads);
    } else {
      plan.gather(view, span, x_data, y_data, threads);
    }
  }
  if (!has_target) return std::move(x);
  return py::make_tuple(std::move(x), std::move(y));
}

}  // namespace

void bind_windows(py::module_& m) {
  py::class_<WindowPlan>(m, "WindowPlan")
      .def(py::init(&make_plan), py::arg("offsets"), py::arg("window"), py::arg("horizon"),
           py::arg("stride"))
      .def("__len__", &WindowPlan::size)
      .def_property_readonly("window", &WindowPlan::window)
      .def_property_readonly("horizon", &WindowPlan::horizon)
      .def_property_readonly("stride", &WindowPlan::stride)
      .def_property_readonly("num_rows", &WindowPlan::num_rows)
      .def_property_readonly("num_entities", &WindowPlan::num_entities)
      .def_property_readonly("offsets", &offsets)
      .def("starts", &starts, py::arg("shift"))
      .def("gather", &gather, py::arg("series"), py::arg("indices"), py::arg("out"),
           py::arg("num_threads"));
}
