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
      : thread_(new std::thread([this, work = std::move(work)]() mutable { run(work); })) {
    enlist();
  }
  ~Background() {
    retire();
    if (lost_) return;  // with thread_: a thread of another process can be neither joined nor freed
    wait();
    stop_.store(true, std::memory_order_relaxed);
    thread_->join();
    delete thread_;
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void start() noexcept {
    if (!lost_) busy_.store(true, std::memory_order_release);
  }
  void wait() const noexcept {
    for (int spins = 0; busy_.load(std::memory_order_acquire); ++spins) relax(spins);
  }

  // True in a child that was forked while the helper was on: the child has no helper. The fork
  // waited for the work at hand; start() does nothing from then on.
  bool lost() const noexcept { return lost_; }

 private:
  static void watch_forks();
  void enlist();  // among those that a fork waits for
  void retire() noexcept;

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
  bool lost_ = false;
  Background *next_ = nullptr, *previous_ = nullptr;  // of all in this process
  std::thread* thread_;                               // last: it reads the flags
};

}  // namespace slidecell
