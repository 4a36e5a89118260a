// What the binding files share: the parts of `_core`, and the checks at Python's edge.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "slidecell/series.hpp"

namespace py = pybind11;

void bind_cpu(py::module_& m);
void bind_windows(py::module_& m);
void bind_window_scorer(py::module_& m);
void bind_model_file(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_model(py::module_& m);
void bind_stream(py::module_& m);
void bind_training(py::module_& m);

std::vector<std::int64_t> shape_of(const py::array& array);
// "[3, 4]", for error texts.
std::string shape_text(const std::vector<std::int64_t>& shape);

// Whether it is numpy's own array: a class that derives from it may hide elements by a mask.
bool is_plain_array(py::handle value);

// Whatever numpy makes an array of (a list, a DataFrame, an array of any layout), as an array of
// real numbers in native byte order, NaN where a mask or a null is; a copy only where the dtype
// needs one. TypeError if the numbers are complex, objects, text or times.
py::array real_array(py::handle value, const char* name);

// series [S, F] without a copy; `series` must outlive the view. Takes what real_array gives.
// `shape` is what an error text says was expected.
slidecell::SeriesView series_view(const py::array& series, const char* name,
                                  const std::string& shape = "[S, F]");

// `value` [n] as int64 in one piece, of which none is missing; `meaning` is its shape in error
// texts: "[G+1]".
py::array_t<std::int64_t> integer_array(py::handle value, const char* name, const char* meaning);

// offsets [G+1], or one entity of all rows for None. ValueError unless they end at `rows`.
std::vector<std::int64_t> offsets_from(py::handle offsets, std::int64_t rows);

// The caller's `out`, checked: float32 of this shape, contiguous, aligned, writeable and not the
// memory of `series`; a new array for None.
py::array_t<float> output_array(py::handle out, const std::vector<std::int64_t>& shape,
                                const py::array& series, const char* name = "out");

// None: 0, the library's default. ValueError below 1.
int thread_count(std::optional<int> num_threads);
