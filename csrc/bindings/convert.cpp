// Numpy's objects as the core's types: the checks that every binding file shares.
#include <array>
#include <stdexcept>

#include "bindings.h"

namespace {

using slidecell::DType;

std::string text_of(const py::object& value) { return py::str(value).cast<std::string>(); }

// `function` of slidecell._arrays makes an array of all but numpy's own ones: it knows masks, nulls
// and DataFrames.
py::array as_array(py::handle value, const char* name, const char* function) {
  if (is_plain_array(value)) return py::reinterpret_borrow<py::array>(value);
  return py::module_::import("slidecell._arrays").attr(function)(value, py::arg("name") = name);
}

bool is_native(const py::dtype& dtype) {
  const char order = dtype.byteorder();
  return order == '=' || order == '|' || dtype.attr("isnative").cast<bool>();
}

// First byte of an array and the one after its last; equal if it is empty.
std::array<std::uintptr_t, 2> extent(const py::array& array) {
  auto low = reinterpret_cast<std::uintptr_t>(array.data());
  if (array.size() == 0) return {low, low};
  std::uintptr_t high = low + static_cast<std::uintptr_t>(array.itemsize());
  for (py::ssize_t k = 0; k < array.ndim(); ++k) {
    const py::ssize_t reach = (array.shape(k) - 1) * array.strides(k);
    (reach < 0 ? low : high) += static_cast<std::uintptr_t>(reach);
  }
  return {low, high};
}

// Whether the memory that they span overlaps, as numpy's may_share_memory tells.
bool may_share_memory(const py::array& a, const py::array& b) {
  const auto [a_low, a_high] = extent(a);
  const auto [b_low, b_high] = extent(b);
  return a_low != a_high && b_low != b_high && a_low < b_high && b_low < a_high;
}

// dtype kind and size in bytes -> DType; nullopt: none of the core's types.
std::optional<DType> dtype_of(const py::dtype& dtype) {
  struct Known {
    char kind;
    py::ssize_t size;
    DType dtype;
  };
  constexpr std::array<Known, 12> known_dtypes = {{{'f', 4, DType::f32},
                                                   {'f', 8, DType::f64},
                                                   {'f', 2, DType::f16},
                                                   {'i', 1, DType::i8},
                                                   {'i', 2, DType::i16},
                                                   {'i', 4, DType::i32},
                                                   {'i', 8, DType::i64},
                                                   {'u', 1, DType::u8},
                                                   {'u', 2, DType::u16},
                                                   {'u', 4, DType::u32},
                                                   {'u', 8, DType::u64},
                                                   {'b', 1, DType::boolean}}};
  for (const Known& known : known_dtypes) {
    if (dtype.kind() == known.kind && dtype.itemsize() == known.size) return known.dtype;
  }
  return std::nullopt;
}

}  // namespace

bool is_plain_array(py::handle value) {
  return Py_TYPE(value.ptr()) == py::detail::npy_api::get().PyArray_Type_;
}

std::vector<std::int64_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t k = 0; k < shape.size(); ++k) {
    text += (k == 0 ? "" : ", ") + std::to_string(shape[k]);
  }
  return text + "]";
}

py::array real_array(py::handle value, const char* name) {
  const py::array array = as_array(value, name, "real_array");
  const py::dtype dtype = array.dtype();
  if (std::string("biuf").find(dtype.kind()) == std::string::npos) {
    throw py::type_error(std::string(name) + ": expected real numbers, got dtype " +
                         text_of(dtype));
  }
  // Long doubles lose nothing that float32 would keep.
  if (!dtype_of(dtype)) return array.attr("astype")("float64");
  if (!is_native(dtype)) {
    return array.attr("astype")(dtype.attr("newbyteorder")("="));
  }
  return array;
}

slidecell::SeriesView series_view(const py::array& series, const char* name,
                                  const std::string& shape) {
  if (series.ndim() != 2) {
    const std::string hint =
        series.ndim() == 1 ? "; for one feature pass " + std::string(name) + "[:, None]" : "";
    throw std::invalid_argument(std::string(name) + ": expected " + shape + ", got " +
                                shape_text(shape_of(series)) + hint);
  }
  const auto dtype = dtype_of(series.dtype());
  if (!dtype || !is_native(series.dtype())) {
    throw py::type_error(std::string(name) + ": expected real numbers, got dtype " +
                         text_of(series.dtype()));
  }
  slidecell::SeriesView view;
  view.data = series.data();
  view.dtype = *dtype;
  view.rows = series.shape(0);
  view.cols = series.shape(1);
  view.row_stride = series.strides(0);
  view.col_stride = series.strides(1);
  return view;
}

py::array_t<std::int64_t> integer_array(py::handle value, const char* name, const char* meaning) {
  const py::array array = as_array(value, name, "integer_array");
  const auto expected = [&] {
    return std::string(name) + ": expected " + meaning + " integers, got ";
  };
  if (array.ndim() != 1) throw std::invalid_argument(expected() + shape_text(shape_of(array)));
  // An empty list has numpy's default dtype, float64.
  const char kind = array.dtype().kind();
  if (array.size() > 0 && kind != 'i' && kind != 'u') {
    throw py::type_error(expected() + "dtype " + text_of(array.dtype()));
  }
  return py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>(array);
}

std::vector<std::int64_t> offsets_from(py::handle offsets, std::int64_t rows) {
  if (offsets.is_none()) return {0, rows};
  const py::array_t<std::int64_t> array = integer_array(offsets, "offsets", "[G+1]");
  std::vector<std::int64_t> values(array.data(), array.data() + array.size());
  if (values.empty()) throw std::invalid_argument("offsets: expected [G+1] integers, got none");
  if (values.back() != rows) {
    throw std::invalid_argument("offsets: expected to end at " + std::to_string(rows) +
                                " (rows of series), got " + std::to_string(values.back()));
  }
  return values;
}

py::array_t<float> output_array(py::handle out, const std::vector<std::int64_t>& shape,
                                const py::array& series, const char* name) {
  if (out.is_none()) return py::array_t<float>(shape);
  const auto expected = [&] {
    return std::string(name) + ": expected a float32 array " + shape_text(shape) +
           ", C-contiguous and writeable, got ";
  };
  if (!py::isinstance<py::array>(out)) {
    throw py::type_error(expected() + text_of(py::type::handle_of(out).attr("__name__")));
  }
  const auto array = py::reinterpret_borrow<py::array>(out);
  if (shape_of(array) != shape || !py::isinstance<py::array_t<float>>(array)) {
    throw std::invalid_argument(expected() + text_of(array.dtype()) + " " +
                                shape_text(shape_of(array)));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument(expected() + "one that is not C-contiguous");
  }
  if (!array.writeable()) throw std::invalid_argument(expected() + "one that is read-only");
  if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(float) != 0) {
    throw std::invalid_argument(expected() + "one that is not aligned");
  }
  if (may_share_memory(array, series)) {
    throw std::invalid_argument(std::string(name) + ": shares memory with series");
  }
  return py::reinterpret_borrow<py::array_t<float>>(array);
}

int thread_count(std::optional<int> num_threads) {
  if (num_threads && *num_threads < 1) {
    throw std::invalid_argument("num_threads: expected at least 1, got " +
                                std::to_string(*num_threads));
  }
  return num_threads.value_or(0);
}
