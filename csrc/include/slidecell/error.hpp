// The exceptions of the library. Python sees std::invalid_argument as ValueError, IoError as
// OSError and UnsupportedError as slidecell.UnsupportedError; the text is the same in both
// languages.
#pragma once

#include <stdexcept>
#include <string>

#include "slidecell/export.h"

namespace slidecell {

// An ISA, a precision or a device that this machine or this build does not have.
class SLIDECELL_API UnsupportedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file that cannot be opened or read. (A file whose content is wrong: std::invalid_argument.)
class SLIDECELL_API IoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace slidecell
