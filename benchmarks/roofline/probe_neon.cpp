#include "kernels/vec_neon.h"
//
#include "probes-inl.h"

namespace roofline {
const VectorProbes& probes_neon() {
  static constexpr VectorProbes probes = make_probes<Vec, 12>();
  return probes;
}
}  // namespace roofline
