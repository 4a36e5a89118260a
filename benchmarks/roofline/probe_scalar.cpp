// Plain C++ on the compiler's baseline, whose registers hold four floats on x86-64 and AArch64.
#include "kernels/vec_scalar.h"
//
#include "probes-inl.h"

namespace {
struct Four {
  using Floats = float __attribute__((vector_size(16), may_alias, aligned(4)));
  static constexpr int lanes = 4;
  Floats v;
  Four() = default;
  Four(Floats x) : v(x) {}
  Four(float x) : v{x, x, x, x} {}
  static Four load(const float* p) { return *reinterpret_cast<const Floats*>(p); }
  friend Four fma(Four a, Four b, Four c) { return a.v * b.v + c.v; }
};
}  // namespace

namespace roofline {
const VectorProbes& probes_scalar() {
  static constexpr VectorProbes probes = make_probes<Four, 14>();
  return probes;
}
}  // namespace roofline
