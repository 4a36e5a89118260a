// Independent tasks on threads, each thread with a workspace of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "cpu/denormals.h"
#include "cpu/pool.h"
#include "cpu/threads.h"

namespace slidecell {

struct KeepDenormals {
  KeepDenormals() {}
};

// Calls task(workspace, i) for i in 0 .. tasks-1, in any order, each thread with its own
// workspace from make(). Threads take the next task when they are free, so tasks may differ in
// cost. Denormals are flushed meanwhile, unless Flush is KeepDenormals. The first exception stops
// the loop and is rethrown here.
template <class Flush = FlushDenormals, class Make, class Task>
void parallel_for(std::int64_t tasks, int num_threads, Make make, Task task) {
  const int threads = static_cast<int>(std::min<std::int64_t>(resolve_threads(num_threads), tasks));
  if (threads <= 1) {
    if (tasks == 0) return;
    const Flush flush;
    auto workspace = make();
    Poll poll;
    for (std::int64_t i = 0; i < tasks; ++i) {
      poll();
      task(workspace, i);
    }
    return;
  }
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  auto body = [&]() noexcept {
    try {
      std::int64_t i = next++;
      if (i >= tasks) return;  // a thread that woke up late needs no workspace
      const Flush flush;
      auto workspace = make();
      Poll poll;
      for (; !failed && i < tasks; i = next++) {
        poll();
        task(workspace, i);
      }
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  };
  run_on_threads(threads, [](void* call) { (*static_cast<decltype(body)*>(call))(); }, &body);
  if (error) std::rethrow_exception(error);
}

}  // namespace slidecell
