#include "cpu/amx_permission.h"

#include <cerrno>
#include <cstring>

#if defined(__x86_64__) && defined(__linux__)
#define SLIDECELL_THIS_MACHINE
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace slidecell {
namespace {

constexpr const char* kAbsent = "this CPU does not have it";
constexpr const char* kNoPalette =
    "this CPU or its hypervisor shows it without tiles of 16 rows of 64 bytes";

bool cpu_has_amx(const AmxMachine& machine) {
  constexpr std::uint32_t kBf16 = 1u << 22, kTile = 1u << 24, kAvx512Bf16 = 1u << 5;
  CpuidRegisters found;
  if (!machine.cpuid(7, 0, found) || (found.d & kBf16) == 0 || (found.d & kTile) == 0) return false;
  return machine.cpuid(7, 1, found) && (found.a & kAvx512Bf16) != 0;
}

// Palette 1 with eight tiles, and a unit that multiplies whole ones.
bool has_whole_tiles(const AmxMachine& machine) {
  constexpr std::uint32_t kPalettes = 0x1d, kUnit = 0x1e;
  CpuidRegisters found;
  if (!machine.cpuid(kPalettes, 0, found) || found.a < 1) return false;
  if (!machine.cpuid(kPalettes, 1, found)) return false;
  const std::uint32_t row_bytes = found.b & 0xffff, names = found.b >> 16, rows = found.c & 0xffff;
  if (row_bytes != 64 || names < 8 || rows < 16) return false;
  if (!machine.cpuid(kUnit, 0, found)) return false;
  const std::uint32_t max_k = found.b & 0xff, max_n = found.b >> 8 & 0xffff;
  return max_k >= 16 && max_n >= 64;
}

bool system_saves_tiles(const AmxMachine& machine) {
  constexpr std::uint32_t kOsxsave = 1u << 27;
  constexpr std::uint64_t kTileState = 3u << 17;  // configuration and data
  CpuidRegisters found;
  if (!machine.cpuid(1, 0, found) || (found.c & kOsxsave) == 0) return false;
  return (machine.saved_registers() & kTileState) == kTileState;
}

#ifdef SLIDECELL_THIS_MACHINE
bool cpuid(std::uint32_t leaf, std::uint32_t subleaf, CpuidRegisters& found) {
  return __get_cpuid_count(leaf, subleaf, &found.a, &found.b, &found.c, &found.d) != 0;
}

std::uint64_t saved_registers() {
  std::uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

int request() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0 ? 0 : errno;
}

constexpr AmxMachine kThisMachine{cpuid, saved_registers, request};
#endif

}  // namespace

std::string amx_refusal(const AmxMachine& machine) {
  if (!cpu_has_amx(machine)) return kAbsent;
  if (!has_whole_tiles(machine)) return kNoPalette;
  if (!system_saves_tiles(machine)) return "the operating system does not save its tile registers";
  return "";
}

bool has_int8_tiles(const AmxMachine& machine) {
  constexpr std::uint32_t kInt8 = 1u << 25;
  CpuidRegisters found;
  return machine.cpuid(7, 0, found) && (found.d & kInt8) != 0;
}

bool has_float16(const AmxMachine& machine) {
  constexpr std::uint32_t kFloat16 = 1u << 23;
  CpuidRegisters found;
  return machine.cpuid(7, 0, found) && (found.d & kFloat16) != 0;
}

std::string AmxPermission::ask() {
  if (granted_.load(std::memory_order_acquire)) return "";
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!refusal_.empty()) return refusal_;
  const int error = machine_.request();
  if (error == ENOSPC) {
    return "a thread's alternate signal stack is too small for its tile registers";
  }
  if (error != 0) {
    refusal_ =
        std::string("the operating system refuses its tile registers: ") + std::strerror(error);
    return refusal_;
  }
  granted_.store(true, std::memory_order_release);
  return "";
}

#if defined(SLIDECELL_EMULATE_AMX)
std::string amx_refusal() {
  return __builtin_cpu_supports("avx512bf16") ? "" : "this CPU does not have AVX512-BF16";
}
bool has_int8_tiles() { return true; }
std::string ask_for_amx() { return ""; }
#elif defined(SLIDECELL_THIS_MACHINE)
std::string amx_refusal() { return amx_refusal(kThisMachine); }
bool has_int8_tiles() { return has_int8_tiles(kThisMachine); }
std::string ask_for_amx() {
  static AmxPermission permission(kThisMachine);
  return permission.ask();
}
#else
std::string amx_refusal() { return "this system does not offer it"; }
bool has_int8_tiles() { return false; }
std::string ask_for_amx() { return amx_refusal(); }
#endif

#ifdef SLIDECELL_THIS_MACHINE
bool has_float16() { return has_float16(kThisMachine); }
#else
bool has_float16() { return false; }
#endif

}  // namespace slidecell
