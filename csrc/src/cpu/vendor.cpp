#include "cpu/vendor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace slidecell {
namespace {

bool made_by_intel() {
#if defined(__x86_64__)
  unsigned highest = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kGenu = 0x756E6547, kIneI = 0x49656E69, kNtel = 0x6C65746E;
  return __get_cpuid(0, &highest, &b, &c, &d) != 0 && b == kGenu && d == kIneI && c == kNtel;
#else
  return false;
#endif
}

}  // namespace

bool has_fast_bf16_dots() {
  // Asked at each call of score; a virtual machine takes microseconds for the instruction.
  static const bool fast = !made_by_intel();
  return fast;
}

}  // namespace slidecell
