#include "kernels/codes_neon_dot.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_neon_dot() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
