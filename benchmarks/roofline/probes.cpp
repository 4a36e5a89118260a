// The clock, and who may run what.
#include "probes.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace roofline {
namespace {

// Scaled to be the inputs of cells: [-2, 2), no two neighbours alike.
float* data() {
  constexpr std::size_t kFloats = kL2Bytes / sizeof(float), kAlign = 64 / sizeof(float);
  static const std::unique_ptr<float[]> buffer(new float[kFloats + kAlign]);
  static float* const aligned = [] {
    void* p = buffer.get();
    std::size_t space = (kFloats + kAlign) * sizeof(float);
    auto* first = static_cast<float*>(std::align(64, kL2Bytes, p, space));
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < kFloats; ++i) {
      state = state * 1664525u + 1013904223u;
      first[i] = static_cast<float>(state >> 8) / (1 << 22) - 2.0f;
    }
    return first;
  }();
  return aligned;
}

// Nanoseconds for one unit of work.
double nanoseconds(const Probe& probe) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  probe.run(data(), probe.rounds);
  const std::chrono::duration<double, std::nano> taken = Clock::now() - start;
  return taken.count() / (static_cast<double>(probe.rounds) * probe.work);
}

double nanoseconds(const Ways& ways) {
  double best = nanoseconds(ways.way[0]);
  for (int i = 1; i < Ways::count; ++i) best = std::min(best, nanoseconds(ways.way[i]));
  return best;
}

#if defined(ROOFLINE_amx)
bool cpu_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  // CPUID.7.0:EDX
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25,
                     kAll = kBf16 | kTile | kInt8;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kAll) != kAll) return false;
  constexpr unsigned kOsXsave = 1u << 27, kTileState = 3u << 17;  // CPUID.1:ECX; XCR0
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kOsXsave)) return false;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kTileState) == kTileState;
}
#endif

const VectorProbes* find_vectors(const char* isa) {
#if defined(ROOFLINE_scalar)
  if (!std::strcmp(isa, "scalar")) return &probes_scalar();
#endif
#if defined(ROOFLINE_avx2)
  if (!std::strcmp(isa, "avx2") && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma")) {
    return &probes_avx2();
  }
#endif
#if defined(ROOFLINE_avx512)
  if (!std::strcmp(isa, "avx512") && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return &probes_avx512();
  }
#endif
#if defined(ROOFLINE_neon)
  if (!std::strcmp(isa, "neon")) return &probes_neon();
#endif
  return nullptr;
}

// Bf16 pairs of AVX-512.
const DotProbes* find_bf16() {
#if defined(ROOFLINE_bf16)
  if (find_vectors("avx512") && __builtin_cpu_supports("avx512bf16")) return &probes_bf16();
#endif
  return nullptr;
}

#if defined(ROOFLINE_low_neon_dot)
bool cpu_has_dot() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return true;  // every Apple processor of 64 bits that runs this
#endif
}
#endif

// Codes of 8 bits, by the best instruction that the CPU has beside those of the set.
const DotProbes* find_low(const char* isa) {
  if (!find_vectors(isa)) return nullptr;
#if defined(ROOFLINE_low_scalar)
  if (!std::strcmp(isa, "scalar")) return &probes_low_scalar();
#endif
#if defined(ROOFLINE_low_avx2)
  if (!std::strcmp(isa, "avx2")) return &probes_low_avx2();
#endif
#if defined(ROOFLINE_low_avx512_vnni)
  if (!std::strcmp(isa, "avx512") && __builtin_cpu_supports("avx512vnni")) {
    return &probes_low_avx512_vnni();
  }
#endif
#if defined(ROOFLINE_low_avx512)
  if (!std::strcmp(isa, "avx512")) return &probes_low_avx512();
#endif
#if defined(ROOFLINE_low_neon_dot)
  if (!std::strcmp(isa, "neon") && cpu_has_dot()) return &probes_low_neon_dot();
#endif
#if defined(ROOFLINE_low_neon)
  if (!std::strcmp(isa, "neon")) return &probes_low_neon();
#endif
  return nullptr;
}

const TileProbes* find_amx() {
#if defined(ROOFLINE_amx)
  static const bool there = cpu_has_amx() && amx_permitted();
  if (there) return &probes_amx();
#endif
  return nullptr;
}

// Lowers best [n] to the nanoseconds of each probe.
template <int n>
void take_best(const double (&found)[n], double* best) {
  for (int i = 0; i < n; ++i) best[i] = std::min(best[i], found[i]);
}

constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace
}  // namespace roofline

// Nanoseconds for a unit of work, the least of all repeats. They return 0 if this machine or this
// build does not have it.
extern "C" {

// best [8]: in the order of VectorProbes, then `beside`.
int roofline_vectors(const char* isa, int repeats, double* best) {
  using roofline::nanoseconds;
  const roofline::VectorProbes* p = roofline::find_vectors(isa);
  if (!p) return 0;
  std::fill_n(best, 7, roofline::kNever);
  for (int r = 0; r < repeats; ++r) {
    roofline::take_best(
        {nanoseconds(p->fma), nanoseconds(p->lstm), nanoseconds(p->lstm_beside),
         nanoseconds(p->gru), nanoseconds(p->gru_beside), nanoseconds(p->l1), nanoseconds(p->l2)},
        best);
  }
  best[7] = p->beside;
  return 1;
}

// best [11]: in the order of DotProbes. `kind`: "bf16", or the instruction set whose codes count.
int roofline_dots(const char* kind, int repeats, double* best) {
  using roofline::nanoseconds;
  const roofline::DotProbes* p =
      std::strcmp(kind, "bf16") ? roofline::find_low(kind) : roofline::find_bf16();
  if (!p) return 0;
  std::fill_n(best, 9, roofline::kNever);
  for (int r = 0; r < repeats; ++r) {
    roofline::take_best(
        {nanoseconds(p->dot), nanoseconds(p->fine[0]), nanoseconds(p->fine[1]),
         nanoseconds(p->fine[2]), nanoseconds(p->fine[3]), nanoseconds(p->rough[0]),
         nanoseconds(p->rough[1]), nanoseconds(p->rough[2]), nanoseconds(p->rough[3])},
        best);
  }
  best[9] = p->beside;
  best[10] = p->per_lane;
  return 1;
}

// best [2]: for a multiply-add, in the order of TileProbes.
int roofline_amx(int repeats, double* best) {
  const roofline::TileProbes* p = roofline::find_amx();
  if (!p) return 0;
  std::fill_n(best, 2, roofline::kNever);
  for (int r = 0; r < repeats; ++r) {
    roofline::take_best({roofline::nanoseconds(p->bf16), roofline::nanoseconds(p->codes)}, best);
  }
  return 1;
}
}
