#include "cpu/amx_permission.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#endif

namespace slidecell {

#if defined(__x86_64__) && defined(__linux__)
namespace {

bool cpu_has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if ((d & kBf16) == 0 || (d & kTile) == 0) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  constexpr unsigned kAvx512Bf16 = 1u << 5;
  return (a & kAvx512Bf16) != 0;
}

// XCR0 tells which registers the operating system saves.
bool system_saves_tiles() {
  unsigned a, b, c, d;
  constexpr unsigned kOsxsave = 1u << 27;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsxsave) == 0) return false;
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;  // configuration and data
  return (low & kTileState) == kTileState;
}

}  // namespace

std::string amx_refusal() {
#ifdef SLIDECELL_EMULATE_AMX
  return __builtin_cpu_supports("avx512bf16") ? "" : "this CPU does not have AVX512-BF16";
#endif
  const char* forced = std::getenv("SLIDECELL_ISA");
  if (forced && *forced && std::strcmp(forced, "amx") != 0) {
    return std::string("SLIDECELL_ISA is ") + forced;
  }
  if (!cpu_has_amx()) return "this CPU does not have it";
  if (!system_saves_tiles()) return "the operating system does not save its tile registers";
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, kRequest, kTileData) != 0) {
    return errno == ENOSPC ? "a thread's alternate signal stack is too small for its tile registers"
                           : std::string("the operating system refuses its tile registers: ") +
                                 std::strerror(errno);
  }
  return "";
}
#else
std::string amx_refusal() { return "this system does not offer it"; }
#endif

}  // namespace slidecell
