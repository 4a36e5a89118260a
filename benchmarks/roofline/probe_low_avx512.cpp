#include "kernels/vec_avx512.h"
//
#include "kernels/codes_avx512.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_avx512() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
