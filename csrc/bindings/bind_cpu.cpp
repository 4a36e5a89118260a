#include "bindings.h"
#include "checked.h"
#include "slidecell/cpu.hpp"

void bind_cpu(py::module_& m) {
  checked::def(m, "available_isas", &slidecell::available_isas,
               "Return the instruction sets of this build that this CPU has, the newest first.");
  checked::def(m, "refused_isas", &slidecell::refused_isas,
               "Return the instruction sets of this build that this CPU lacks, and why.");
  checked::def(m, "active_isa", &slidecell::active_isa, "Return the instruction set in use.");
  checked::def(m, "set_isa", &slidecell::set_isa,
               "Choose the instruction set of what is computed from now on.", py::arg("name"));
  checked::def(m, "default_num_threads", &slidecell::default_num_threads,
               "Return the number of threads of calls that name none.");
}
