#include "cpu/threads.h"

#include <atomic>
#include <stdexcept>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#endif

#include "slidecell/cpu.hpp"

namespace slidecell {
#ifdef _OPENMP
namespace {

std::atomic<bool> started_threads{false};
std::atomic<bool> forked_after_threads{false};

}  // namespace
#endif

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
