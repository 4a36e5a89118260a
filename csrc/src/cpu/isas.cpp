#include "cpu/isas.h"

#include "cpu/amx_permission.h"

namespace slidecell {
#if defined(__x86_64__)
namespace {

// Why a CPU without the features cannot run an ISA; empty where it has them.
std::string lacks(bool has_features) { return has_features ? "" : "this CPU does not have it"; }

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// AVX-512 with bf16 dot products where the CPU has them.
const KernelTable& avx512_here() {
  static const KernelTable table = [] {
    KernelTable kernels = kernels_avx512();
    if (__builtin_cpu_supports("avx512bf16")) kernels.matrix = &matrix_avx512_bf16();
    return kernels;
  }();
  return table;
}

// AMX multiplies; AVX-512 does all else.
const KernelTable& amx_here() {
  static const KernelTable table = [] {
    KernelTable kernels = kernels_avx512();
    kernels.isa = "amx";
    kernels.matrix = &matrix_amx();
    return kernels;
  }();
  return table;
}

}  // namespace
#endif

const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = {
      {&kernels_scalar(), ""},
#if defined(__x86_64__)
      {&kernels_avx2(), lacks(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))},
      {&avx512_here(), lacks(has_avx512())},
      {&amx_here(), has_avx512() ? amx_refusal() : lacks(false)},
#elif defined(__aarch64__)
      {&kernels_neon(), ""},
#endif
  };
  return list;
}

}  // namespace slidecell
