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

#include "slidecell/error.hpp"

namespace slidecell {
namespace {

struct Isa {
  const KernelTable* kernels;
  bool available;
};

// Slowest first.
const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = {
      {&kernels_scalar(), true},
#if defined(__x86_64__)
      {&kernels_avx2(), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
      {&kernels_avx512(), __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512dq") &&
                              __builtin_cpu_supports("avx512vl")},
#elif defined(__aarch64__)
      {&kernels_neon(), true},
#endif
  };
  return list;
}

const KernelTable* find_isa(const std::string& name) {
  std::string names;
  for (const Isa& isa : isas()) {
    if (name == isa.kernels->isa && isa.available) return isa.kernels;
    if (isa.available) names += (names.empty() ? "" : ", ") + std::string(isa.kernels->isa);
  }
  const auto is_known = [&](const Isa& isa) { return name == isa.kernels->isa; };
  const bool known = std::any_of(isas().begin(), isas().end(), is_known);
  throw UnsupportedError("isa: expected one of " + names + ", got '" + name + "'" +
                         (known ? ", which this CPU does not have" : ""));
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
    if (isa.available) best = isa.kernels;
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
  while (isas()[i].kernels != &kernels) ++i;
  return i;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : isas()) {
    if (isa.available) names.emplace_back(isa.kernels->isa);
  }
  return names;
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
