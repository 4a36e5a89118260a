// The library's own threads: every task runs once, whoever wakes up in time, and errors come out.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/pool.h"
#include "cpu/threads.h"
#include "slidecell/cpu.hpp"
#include "test.h"

#ifdef __unix__
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using namespace slidecell;

#ifdef SLIDECELL_TEST_OPENMP
constexpr bool kSeveral = true;
#else
constexpr bool kSeveral = false;  // such a build runs every call on one thread
#endif

void test_counts() {
  CHECK(resolve_threads(1) == 1);
  CHECK(resolve_threads(3) == (kSeveral ? 3 : 1));
  CHECK(resolve_threads(kMaxThreads) == (kSeveral ? kMaxThreads : 1));
  CHECK(resolve_threads(kMaxThreads + 1) == (kSeveral ? kMaxThreads : 1));
  CHECK(resolve_threads(2147483647) == (kSeveral ? kMaxThreads : 1));
  CHECK(default_num_threads() >= 1 && default_num_threads() <= kMaxThreads);
  CHECK_THROWS(resolve_threads(-1), std::invalid_argument,
               "num_threads: expected 0 (default) or more, got -1");
}

struct Tasks {
  static constexpr std::int64_t kSize = 40;
  std::array<int, kSize> runs{};  // of each task; a task is one thread's alone
  std::atomic<std::int64_t> next{0};
  std::atomic<int> inside{0};

  static void body(void* context) {
    Tasks& tasks = *static_cast<Tasks*>(context);
    ++tasks.inside;
    for (std::int64_t i; (i = tasks.next++) < kSize;) ++tasks.runs[static_cast<std::size_t>(i)];
    --tasks.inside;
  }
  bool all_once() const {
    for (const int run : runs) {
      if (run != 1) return false;
    }
    return inside == 0;
  }
};

// Calls that follow each other closely and others that find the threads asleep, of several callers.
void test_every_task_once() {
  std::atomic<bool> good{true};
  const auto call = [&good](int threads) {
    for (int k = 0; k < 500; ++k) {
      Tasks tasks;
      run_on_threads(threads, &Tasks::body, &tasks);
      if (!tasks.all_once()) good = false;
      if (k % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(6));
    }
  };
  call(2);
  std::vector<std::thread> callers;
  for (int threads = 1; threads <= 4; ++threads) callers.emplace_back(call, threads);
  for (std::thread& caller : callers) caller.join();
  CHECK(good.load());
}

// The work of the second thread begins while the first is inside, and the call waits for its end.
void test_waits_for_those_that_began() {
  struct Both {
    std::atomic<int> begun{0}, ended{0};
    static void body(void* context) {
      Both& both = *static_cast<Both*>(context);
      const bool last = ++both.begun == 2;
      while (both.begun < 2) std::this_thread::yield();
      if (last) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ++both.ended;
    }
  } both;
  run_on_threads(2, &Both::body, &both);
  CHECK(both.ended.load() == 2);
}

void test_errors_come_out() {
  for (const int threads : {1, 3}) {
    CHECK_THROWS(parallel_for(
                     100, threads, [] { return 0; },
                     [](int, std::int64_t i) {
                       if (i == 7) throw std::runtime_error("seven");
                     }),
                 std::runtime_error, "seven");
    CHECK_THROWS(parallel_for(
                     100, threads, []() -> int { throw std::length_error("no workspace"); },
                     [](int, std::int64_t) {}),
                 std::length_error, "no workspace");
  }
}

[[noreturn]] void stop() { throw std::runtime_error("stopped"); }

void test_poll_ends_a_call() {
  const auto work = [](int threads) {
    std::atomic<int> ran{0};
    parallel_for(
        6, threads, [] { return 0; },
        [&](int, std::int64_t) {
          ++ran;
          std::this_thread::sleep_for(std::chrono::milliseconds(60));
        });
    return ran.load();
  };
  set_poll(&stop);
  for (const int threads : {1, 2}) {
    CHECK_THROWS(work(threads), std::runtime_error, "stopped");
    const WithoutPoll whole;
    CHECK(work(threads) == 6);
  }
  set_poll(nullptr);
  CHECK(work(2) == 6);
}

// The thread sanitizer starts no threads after a fork, and qemu's user mode ends there with an
// assertion of its own.
#if defined(__unix__) && !defined(__SANITIZE_THREAD__) && !defined(SLIDECELL_TEST_UNDER_QEMU)
#define SLIDECELL_TEST_FORK
#endif

#ifdef SLIDECELL_TEST_FORK
// A child has none of its parent's threads: it starts its own, and a call in whose middle it was
// forked ends with an error there.
void test_fork() {
  const auto forked = [](auto work) {
    const pid_t child = fork();
    if (child == 0) _exit(work() ? 0 : 1);
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  const auto run = [] {
    Tasks tasks;
    run_on_threads(3, &Tasks::body, &tasks);
    return tasks.all_once();
  };
  CHECK(run());
  CHECK(forked(run));
  CHECK(run());

  struct Inside {
    std::atomic<int> calls{0};
    std::thread::id caller = std::this_thread::get_id();
    pid_t child = -1;
    static void body(void* context) {
      Inside& inside = *static_cast<Inside*>(context);
      const bool mine = std::this_thread::get_id() == inside.caller;
      ++inside.calls;
      while (inside.calls < 2) std::this_thread::yield();
      if (mine) inside.child = fork();
    }
  } inside;
  bool refused = false;
  try {
    run_on_threads(2, &Inside::body, &inside);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  if (inside.child == 0) _exit(refused && run() ? 0 : 1);
  int status = 0;
  CHECK(!refused);
  CHECK(waitpid(inside.child, &status, 0) == inside.child && WIFEXITED(status) &&
        WEXITSTATUS(status) == 0);
}
#endif

}  // namespace

int main() {
  test_counts();
  test_every_task_once();
  test_waits_for_those_that_began();
  test_errors_come_out();
  test_poll_ends_a_call();
#ifdef SLIDECELL_TEST_FORK
  test_fork();
#endif
  return slidecell::test::result();
}
