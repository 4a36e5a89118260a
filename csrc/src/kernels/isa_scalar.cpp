// Every isa_<x>.cpp is compiled with its own flags and exports one symbol. All else that it uses
// has internal linkage: if two units shared an inline function, the linker could keep the AVX-512
// copy and call it on a CPU without AVX-512.
#include "kernels/vec_scalar.h"
//
#include "kernels/kernels-inl.h"

namespace slidecell {
const KernelTable& kernels_scalar() {
  static constexpr KernelTable table = make_kernels<Registers>("scalar");
  return table;
}
}  // namespace slidecell
