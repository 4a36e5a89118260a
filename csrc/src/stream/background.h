// A thread that repeats one piece of work whenever it is asked, handed over without a lock.
#pragma once

#include <atomic>
#include <thread>
#include <utility>

#include "cpu/denormals.h"

namespace slidecell {

// start() and wait() are for one thread. The helper spins between pieces of work, because a row
// may follow within microseconds and waking a sleeping thread takes longer: it occupies a core.
class Background {
 public:
  template <class Work>
  explicit Background(Work work)
      : thread_([this, work = std::move(work)]() mutable { run(work); }) {}
  ~Background() {
    wait();
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void start() noexcept { busy_.store(true, std::memory_order_release); }
  void wait() const noexcept {
    for (int spins = 0; busy_.load(std::memory_order_acquire); ++spins) relax(spins);
  }

 private:
  template <class Work>
  void run(Work& work) {
    const FlushDenormals flush;
    for (int spins = 0; !stop_.load(std::memory_order_relaxed);) {
      if (busy_.load(std::memory_order_acquire)) {
        work();
        busy_.store(false, std::memory_order_release);
        spins = 0;
      } else {
        relax(spins++);
      }
    }
  }

  // Leaves the core to others after a while, so that more threads than cores still move on.
  static void relax(int spins) noexcept {
    constexpr int kSpins = 1 << 12;
    if (spins > kSpins) std::this_thread::yield();
  }

  std::atomic<bool> busy_{false}, stop_{false};
  std::thread thread_;  // last: it reads the flags
};

}  // namespace slidecell
