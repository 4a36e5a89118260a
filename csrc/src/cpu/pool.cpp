#include "cpu/pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "slidecell/cpu.hpp"

#ifdef __unix__
#include <pthread.h>
#include <signal.h>
#endif

#ifdef __linux__
#include <sched.h>
#endif

#ifdef __SSE2__
#include <immintrin.h>
#endif

// Not OpenMP's threads: libgomp ends the process when it cannot start one, and its threads are
// lost for ever in a forked child.
namespace slidecell {
namespace {

// How long a thread looks at a flag before it sleeps: calls often follow each other closely, and a
// thread that sleeps wakes late. After the first it gives way to whoever wants its core.
constexpr std::chrono::microseconds kAlone{50}, kSpin{4000};

void relax() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int cores_of_this_thread() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// True as soon as done() is; false after kSpin.
template <class Done>
bool spin_until(Done done) {
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      relax();
    }
    const auto passed = std::chrono::steady_clock::now() - begin;
    if (passed > kSpin) return false;
    if (passed > kAlone) std::this_thread::yield();
  }
}

// What the threads of one call run.
struct Work {
  void (*body)(void*);
  void* context;
};

// A thread that waits for work. One caller at a time gives it some.
class Worker {
 public:
  void give(const Work* work) {
    work_ = work;
    set(State::given);
  }
  // True if the worker has not begun what it was given, and now never will.
  bool take_back() {
    State given = State::given;
    return state_.compare_exchange_strong(given, State::idle, std::memory_order_acq_rel);
  }
  void wait_until_idle(bool spin) {
    const auto idle = [this] { return state_.load(std::memory_order_acquire) == State::idle; };
    if (spin && spin_until(idle)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, idle);
  }

  // The thread itself. spins() says whether a core is free for spinning.
  template <class Spins>
  void run(Spins spins) {
    for (bool spin = false;; set(State::idle)) {
      // Also after a wake-up that came too late: the next call is likely near.
      while (!begin(spin)) spin = spins();
      work_->body(work_->context);
      spin = spins();
    }
  }

 private:
  enum class State { idle, given, at_work };

  void set(State state) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      state_.store(state, std::memory_order_release);
    }
    changed_.notify_one();
  }
  // False where it slept and was woken in vain.
  bool begin(bool spin) {
    const auto begun = [this] {
      State given = State::given;
      return state_.load(std::memory_order_relaxed) == given &&
             state_.compare_exchange_strong(given, State::at_work, std::memory_order_acq_rel);
    };
    if (spin && spin_until(begun)) return true;
    std::unique_lock<std::mutex> lock(mutex_);
    if (begun()) return true;
    changed_.wait(lock);
    return begun();
  }

  std::atomic<State> state_{State::idle};
  const Work* work_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;  // the worker waits for work, or the caller for the worker
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
        break;
      }
    }
    busy_ += 1 + static_cast<int>(taken.size());
  }

  void give_back(const std::vector<Worker*>& taken) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.insert(idle_.end(), taken.begin(), taken.end());
    busy_ -= 1 + static_cast<int>(taken.size());
  }

  // False where a spinning thread would keep one that has work from a core.
  bool may_spin() const {
    const int cores = cores_of_this_thread();
    return cores > 1 && busy_.load(std::memory_order_relaxed) <= cores;
  }

  // How often this process has been forked from one with a pool.
  int forks() const { return forks_.load(std::memory_order_relaxed); }

 private:
  static Pool* make() {
    Pool* const pool = new Pool;
#ifdef __unix__
    // A forked child has none of the threads; it starts its own.
    pthread_atfork([] { get().mutex_.lock(); }, [] { get().mutex_.unlock(); },
                   [] {
                     get().idle_.clear();
                     get().busy_ = 0;
                     ++get().forks_;
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
      std::thread([this, worker] { worker->run([this] { return may_spin(); }); }).detach();
      return worker;
    } catch (...) {  // std::system_error, std::bad_alloc
      delete worker;
      --started_;
      return nullptr;
    }
  }

  std::mutex mutex_;
  std::vector<Worker*> idle_;
  int started_ = 0;
  std::atomic<int> busy_{0};  // threads of all calls, the callers included
  std::atomic<int> forks_{0};
};

std::atomic<bool> had_fewer{false};

}  // namespace

bool had_fewer_threads() { return had_fewer.load(std::memory_order_relaxed); }

void run_on_threads(int threads, void (*body)(void*), void* context) {
  Pool& pool = Pool::get();
  std::vector<Worker*> workers;
  workers.reserve(static_cast<std::size_t>(threads));
  const int forks = pool.forks();
  pool.take(threads - 1, workers);
  if (static_cast<int>(workers.size()) < threads - 1) had_fewer = true;
  const Work work{body, context};
  for (Worker* const worker : workers) worker->give(&work);
  body(context);
  if (pool.forks() != forks) {
    throw std::runtime_error(
        "fork: expected none from inside a call on several threads, got one; the child lacks the "
        "call's threads");
  }
  for (Worker* const worker : workers) {
    // Nobody waits for a worker that has not woken up: nothing is left for it to do.
    if (!worker->take_back()) worker->wait_until_idle(pool.may_spin());
  }
  pool.give_back(workers);
}

}  // namespace slidecell
