// Every isa_<x>.cpp is compiled with its own flags and exports one symbol. All else that it uses
// has internal linkage: if two units shared an inline function, the linker could keep the AVX-512
// copy and call it on a CPU without AVX-512.
#include "kernels/vec_scalar.h"
//
#include "kernels/codes_scalar.h"
#include "kernels/kernels-inl.h"
//
#include "kernels/low-inl.h"

namespace slidecell {
const KernelTable& kernels_scalar() {
  static constexpr LowKernels low = make_low_kernels<LowRegisters>("plain");
  static constexpr KernelTable table = make_kernels<Registers>("scalar", &low);
  return table;
}
}  // namespace slidecell
