#include "kernels/vec_neon.h"
//
#include "kernels/codes_neon.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_neon() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
