#include "bindings.h"
#include "checked.h"
#include "slidecell/cpu.hpp"

void bind_cpu(py::module_& m) {
  checked::def(m, "available_isas", &slidecell::available_isas);
  checked::def(m, "refused_isas", &slidecell::refused_isas);
  checked::def(m, "active_isa", &slidecell::active_isa);
  checked::def(m, "set_isa", &slidecell::set_isa, py::arg("name"));
  checked::def(m, "default_num_threads", &slidecell::default_num_threads);
}
