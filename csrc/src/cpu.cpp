#include "cpu.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

#include "amx_permission.h"
#include "slidecell/error.hpp"

namespace slidecell {
namespace {

struct Isa {
  const KernelTable* kernels;
  std::string refusal;  // why it is not available here; empty: it is
  bool available() const { return refusal.empty(); }
};

#if defined(__x86_64__)
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
#endif

// Slowest first.
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

const KernelTable* find_isa(const std::string& name) {
  std::string names;
  for (const Isa& isa : isas()) {
    if (name == isa.kernels->isa && isa.available()) return isa.kernels;
    if (isa.available()) names += (names.empty() ? "" : ", ") + std::string(isa.kernels->isa);
  }
  std::string why;
  for (const Isa& isa : isas()) {
    if (name == isa.kernels->isa) why = ": " + isa.refusal;
  }
  throw UnsupportedError("isa: expected one of " + names + ", got '" + name + "'" + why);
}

const KernelTable* initial_kernels() {
  if (const char* forced = std::getenv("SLIDECELL_ISA"); forced && *forced) {
    try {
      return find_isa(forced);
    } catch (const UnsupportedError& e) {
      throw UnsupportedError(std::string("SLIDECELL_ISA: ") + e.what());
    }
  }
  const KernelTable* best = nullptr;
  for (const Isa& isa : isas()) {
    if (isa.available()) best = isa.kernels;
  }
  return best;
}

std::atomic<const KernelTable*> chosen{nullptr};

#ifdef _OPENMP
std::atomic<bool> started_threads{false};
std::atomic<bool> forked_after_threads{false};
#endif

}  // namespace

const KernelTable& active_kernels() {
  const KernelTable* kernels = chosen;
  if (kernels) return *kernels;
  // Another thread's set_isa meanwhile wins: then `kernels` is what it chose.
  const KernelTable* initial = initial_kernels();
  return chosen.compare_exchange_strong(kernels, initial) ? *initial : *kernels;
}

const KernelTable& kernels_named(const std::string& name) { return *find_isa(name); }

std::size_t isa_index(const KernelTable& kernels) {
  std::size_t i = 0;
  while (i < isas().size() && isas()[i].kernels != &kernels) ++i;
  return i < isas().size() ? i : kMaxIsas - 1;
}

void use_kernels(const KernelTable& kernels) { chosen = &kernels; }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : isas()) {
    if (isa.available()) names.emplace_back(isa.kernels->isa);
  }
  return names;
}

std::map<std::string, std::string> refused_isas() {
  std::map<std::string, std::string> reasons;
  for (const Isa& isa : isas()) {
    if (!isa.available()) reasons[isa.kernels->isa] = isa.refusal;
  }
  return reasons;
}

std::string active_isa() { return active_kernels().isa; }

void set_isa(const std::string& name) { chosen = find_isa(name); }

int default_num_threads() {
#ifdef _OPENMP
  return forked_after_threads ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

int resolve_threads(int num_threads) {
  if (num_threads < 0) {
    throw std::invalid_argument("num_threads: expected 0 (default) or more, got " +
                                std::to_string(num_threads));
  }
#ifdef _OPENMP
  if (forked_after_threads) return 1;
  return num_threads > 0 ? num_threads : omp_get_max_threads();
#else
  return 1;
#endif
}

void note_parallel_region() {
#ifdef _OPENMP
  // libgomp's threads do not survive a fork, and its next parallel region in the child waits for
  // them for ever.
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    if (started_threads) forked_after_threads = true;
  });
  (void)registered;
  started_threads = true;
#endif
}

}  // namespace slidecell
