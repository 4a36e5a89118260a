// _core: the compiled part of the Python package.
#include "bindings.h"
#include "slidecell/error.hpp"

// pybind11's own entry of the module, which would wait for ever in a sub-interpreter: the GIL that
// it takes is the main interpreter's.
#define PyInit__core slidecell_init_main_interpreter
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
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
#undef PyInit__core

extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "slidecell: expected the main interpreter, got a sub-interpreter, which the "
                    "compiled part does not support; use threads or processes");
    return nullptr;
  }
  return slidecell_init_main_interpreter();
}
