#include "kernels/vec_avx2.h"
//
#include "probes-inl.h"

namespace roofline {
const VectorProbes& probes_avx2() {
  static constexpr VectorProbes probes = make_probes<Vec, 12>();
  return probes;
}
}  // namespace roofline
