#include "kernels/vec_scalar.h"
//
#include "kernels/codes_scalar.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_scalar() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
