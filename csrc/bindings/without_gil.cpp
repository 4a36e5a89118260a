#include "without_gil.h"

#include <atomic>

namespace py = pybind11;

namespace {

// True on the thread that runs Python's handlers of signals. Elsewhere a look would only wait for
// the GIL. The thread that imports is not always the main one, so Python is asked.
bool on_main_thread() {
  const py::object main = py::module_::import("threading").attr("main_thread")();
  return main.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

thread_local bool asked = false, is_main = false;

void look_for_signals() {
  if (asked && !is_main) return;
  const py::gil_scoped_acquire acquire;
  if (!asked) is_main = on_main_thread();
  asked = true;
  if (is_main && PyErr_CheckSignals() != 0) throw py::error_already_set();
}

void warn_if_fewer() {
  static std::atomic<bool> warned{false};
  if (warned || !slidecell::had_fewer_threads() || warned.exchange(true)) return;
  const int failed = PyErr_WarnEx(
      PyExc_RuntimeWarning,
      "num_threads: the system had fewer threads than asked (a limit of processes or of memory); "
      "slidecell goes on with those that it has, and results are the same",
      1);
  // A destructor cannot raise: a warning that is an error is printed.
  if (failed != 0) PyErr_WriteUnraisable(nullptr);
}

}  // namespace

WithoutGil::WithoutGil() {
  slidecell::set_poll(&look_for_signals);
  state_ = PyEval_SaveThread();
}

WithoutGil::~WithoutGil() {
  slidecell::set_poll(nullptr);
  PyEval_RestoreThread(state_);
  warn_if_fewer();
}
