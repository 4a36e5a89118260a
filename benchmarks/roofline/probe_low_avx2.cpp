#include "kernels/vec_avx2.h"
//
#include "kernels/codes_avx2.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_avx2() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
