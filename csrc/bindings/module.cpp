// _core: the compiled part of the Python package.
#include "bindings.h"
#include "slidecell/error.hpp"

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = SLIDECELL_VERSION;
  py::register_exception<slidecell::UnsupportedError>(m, "UnsupportedError", PyExc_RuntimeError);
  py::register_exception<slidecell::IoError>(m, "IoError", PyExc_OSError);
  bind_cpu(m);
  bind_windows(m);
  bind_window_scorer(m);
  bind_model_file(m);
  bind_recurrent(m);
  bind_model(m);
  bind_stream(m);
  bind_training(m);
}
