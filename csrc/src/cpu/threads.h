// How many threads a call runs on, and what its own thread asks between two tasks.
#pragma once

#include <chrono>

namespace slidecell {

// The threads that a call runs on: num_threads, or the default for 0; at most kMaxThreads. Throws
// std::invalid_argument if negative.
int resolve_threads(int num_threads);

// Calls what set_poll() gave on this thread, at most every 50 ms. It may throw.
class Poll {
 public:
  void operator()();

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// For the time it lives, this thread polls nothing: its call must not end half-way.
class WithoutPoll {
 public:
  WithoutPoll();
  ~WithoutPoll();
  WithoutPoll(const WithoutPoll&) = delete;
  WithoutPoll& operator=(const WithoutPoll&) = delete;

 private:
  void (*before_)();
};

}  // namespace slidecell
