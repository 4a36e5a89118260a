#include "cpu/pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "slidecell/cpu.hpp"

#ifdef __unix__
#include <pthread.h>
#include <signal.h>
#endif

#ifdef __SSE2__
#include <immintrin.h>
#endif

// Not OpenMP's threads: libgomp ends the process when it cannot start one, and its threads are
// lost for ever in a forked child.
namespace slidecell {
namespace {

// Looks at a flag before a thread sleeps: some 50 us. Calls often follow each other closely, and a
// thread that sleeps wakes late.
constexpr int kSpins = 2000;

void relax() {
#ifdef __SSE2__
  _mm_pause();
#endif
}

// What the threads of one call share.
struct Region {
  void (*body)(void*);
  void* context;
  std::atomic<int> running{0};  // of the helpers
  std::mutex mutex;
  std::condition_variable ended;

  void leave() {
    const std::lock_guard<std::mutex> lock(mutex);
    if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) ended.notify_one();
  }
  void wait() {
    for (int i = 0; i < kSpins && running.load(std::memory_order_acquire) > 0; ++i) relax();
    // Also when none runs: the last may still hold the lock.
    std::unique_lock<std::mutex> lock(mutex);
    ended.wait(lock, [this] { return running.load(std::memory_order_acquire) == 0; });
  }
};

struct Worker {
  std::atomic<Region*> region{nullptr};
  std::mutex mutex;
  std::condition_variable given;

  void give(Region* work) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      region.store(work, std::memory_order_release);
    }
    given.notify_one();
  }
  Region* take() {
    for (int i = 0; i < kSpins && !region.load(std::memory_order_acquire); ++i) relax();
    std::unique_lock<std::mutex> lock(mutex);
    given.wait(lock, [this] { return region.load(std::memory_order_acquire) != nullptr; });
    return region.exchange(nullptr, std::memory_order_acq_rel);
  }
};

// Signals are for the program's own threads.
class BlockSignals {
 public:
#ifdef __unix__
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_;
#endif
};

// The idle workers. They are never ended: a thread may need one until the process is gone.
class Pool {
 public:
  static Pool& get() {
    static Pool* const pool = make();
    return *pool;
  }

  // Up to `count` workers, in `taken`; fewer where the system refuses a thread.
  void take(int count, std::vector<Worker*>& taken) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (static_cast<int>(taken.size()) < count) {
      if (!idle_.empty()) {
        taken.push_back(idle_.back());
        idle_.pop_back();
      } else if (Worker* const worker = start()) {
        taken.push_back(worker);
      } else {
        return;
      }
    }
  }

 private:
  static Pool* make() {
    Pool* const pool = new Pool;
#ifdef __unix__
    // A forked child has none of the threads; it starts its own.
    pthread_atfork([] { get().mutex_.lock(); }, [] { get().mutex_.unlock(); },
                   [] {
                     get().idle_.clear();
                     get().mutex_.unlock();
                   });
#endif
    return pool;
  }

  Worker* start() {
    Worker* worker = nullptr;
    try {
      // Room for all: the worker that comes back must not need memory.
      idle_.reserve(static_cast<std::size_t>(++started_));
      worker = new Worker;
      const BlockSignals block;
      std::thread([this, worker] { run(*worker); }).detach();
      return worker;
    } catch (...) {  // std::system_error, std::bad_alloc
      delete worker;
      --started_;
      return nullptr;
    }
  }

  void run(Worker& worker) {
    for (;;) {
      Region* const region = worker.take();
      region->body(region->context);
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        idle_.push_back(&worker);
      }
      region->leave();
    }
  }

  std::mutex mutex_;
  std::vector<Worker*> idle_;
  int started_ = 0;
};

std::atomic<bool> had_fewer{false};

}  // namespace

bool had_fewer_threads() { return had_fewer.load(std::memory_order_relaxed); }

void run_on_threads(int threads, void (*body)(void*), void* context) {
  std::vector<Worker*> workers;
  workers.reserve(static_cast<std::size_t>(threads));
  Pool::get().take(threads - 1, workers);
  if (static_cast<int>(workers.size()) < threads - 1) had_fewer = true;
  Region region;
  region.body = body;
  region.context = context;
  region.running = static_cast<int>(workers.size());
  for (Worker* const worker : workers) worker->give(&region);
  body(context);
  region.wait();
}

}  // namespace slidecell
