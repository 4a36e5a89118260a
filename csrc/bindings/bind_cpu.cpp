#include "bindings.h"
#include "slidecell/cpu.hpp"

void bind_cpu(py::module_& m) {
  m.def("available_isas", &slidecell::available_isas);
  m.def("refused_isas", &slidecell::refused_isas);
  m.def("active_isa", &slidecell::active_isa);
  m.def("set_isa", &slidecell::set_isa, py::arg("name"));
  m.def("default_num_threads", &slidecell::default_num_threads);
}
