#include "kernels/codes_avx512_vnni.h"
//
#include "low_probes-inl.h"

namespace roofline {
const DotProbes& probes_low_avx512_vnni() {
  static constexpr DotProbes probes = make_low_probes();
  return probes;
}
}  // namespace roofline
