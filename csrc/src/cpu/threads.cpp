#include "cpu/threads.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "slidecell/cpu.hpp"

namespace slidecell {
namespace {

thread_local void (*poll)() = nullptr;

}  // namespace

int default_num_threads() {
#ifdef _OPENMP
  return std::min(omp_get_max_threads(), kMaxThreads);
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
  return num_threads > 0 ? std::min(num_threads, kMaxThreads) : default_num_threads();
#else
  return 1;
#endif
}

void set_poll(void (*called)()) { poll = called; }

WithoutPoll::WithoutPoll() : before_(poll) { poll = nullptr; }
WithoutPoll::~WithoutPoll() { poll = before_; }

void Poll::operator()() {
  if (!poll) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(50)) return;
  last_ = now;
  poll();
}

}  // namespace slidecell
