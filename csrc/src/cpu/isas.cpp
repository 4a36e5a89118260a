#include "cpu/isas.h"

#include "cpu/active_kernels.h"
#include "cpu/amx_permission.h"
#include "cpu/isa_list.h"
#include "kernels/low_table.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace slidecell {
namespace {

// Why a CPU without the features cannot run an ISA; empty where it has them.
std::string lacks(bool has_features) { return has_features ? "" : "this CPU does not have it"; }

#if defined(__x86_64__)
// AVX-512 with the dot products of bf16 numbers and of codes that the CPU has.
const KernelTable& avx512_here() {
  static const KernelTable table = [] {
    KernelTable kernels = kernels_avx512();
    if (__builtin_cpu_supports("avx512bf16")) kernels.matrix = &matrix_avx512_bf16();
    if (__builtin_cpu_supports("avx512vnni")) kernels.low = &low_avx512_vnni();
    return kernels;
  }();
  return table;
}

#ifdef SLIDECELL_HAS_TILES
const MatrixKernels* tile_kernels() {
#ifdef SLIDECELL_HAS_FLOAT16
  if (has_float16()) return &matrix_amx_fp16();
#endif
  return &matrix_amx();
}
const LowKernels* low_tile_kernels() { return has_int8_tiles() ? &low_amx() : nullptr; }
std::string tile_refusal() { return amx_refusal(); }
#else
const MatrixKernels* tile_kernels() { return nullptr; }
const LowKernels* low_tile_kernels() { return nullptr; }
std::string tile_refusal() { return "the assembler of this build had no tile instructions"; }
#endif

// AMX multiplies; AVX-512 does all else.
const KernelTable& amx_here() {
  static const KernelTable table = [] {
    KernelTable kernels = avx512_here();
    kernels.isa = "amx";
    kernels.matrix = tile_kernels();
    kernels.low_tiles = low_tile_kernels();
    kernels.ask_for_matrix = ask_for_amx;
    kernels.without_matrix = &avx512_here();
    return kernels;
  }();
  return table;
}

// The units that hold products alone: each completes the table of AVX-512.
void add_products(std::vector<Isa>& list) {
  std::string refusal;
  for (Isa& isa : list) {
    if (isa.kernels != &kernels_avx512()) continue;
    isa.kernels = &avx512_here();
    refusal = isa.refusal;
  }
  list.push_back({&amx_here(), refusal.empty() ? tile_refusal() : refusal});
}
constexpr std::size_t kAddedIsas = 1;
#elif defined(__aarch64__)
// Apple's processors have SDOT from the first Mac on.
bool has_sdot() {
#ifdef __linux__
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
  return true;
#else
  return false;
#endif
}

const KernelTable& neon_here() {
  static const KernelTable table = [] {
    KernelTable kernels = kernels_neon();
    if (has_sdot()) kernels.low = &low_neon_dot();
    return kernels;
  }();
  return table;
}

void add_products(std::vector<Isa>& list) {
  for (Isa& isa : list) {
    if (isa.kernels == &kernels_neon()) isa.kernels = &neon_here();
  }
}
constexpr std::size_t kAddedIsas = 0;
#else
void add_products(std::vector<Isa>&) {}
constexpr std::size_t kAddedIsas = 0;
#endif

// One more for the tests.
static_assert(kListedIsas + kAddedIsas + 1 <= kMaxIsas, "kMaxIsas is too small");

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = [] {
    std::vector<Isa> all;
    for (const ListedIsa& isa : listed_isas()) {
      all.push_back({&isa.kernels(), lacks(isa.cpu_has_it)});
    }
    add_products(all);
    return all;
  }();
  return list;
}

}  // namespace slidecell
