// A long call: Python's other threads run meanwhile, and Ctrl-C ends it.
#pragma once

#include <pybind11/pybind11.h>

#include "slidecell/cpu.hpp"

// For the time it lives, this thread has no GIL. On the main thread the call looks for signals, and
// ends by the exception of their handler: KeyboardInterrupt as a rule.
// Afterwards it warns once if the system had fewer threads than asked.
class WithoutGil {
 public:
  WithoutGil();
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};
