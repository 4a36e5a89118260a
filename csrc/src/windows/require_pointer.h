// The check of a caller's array, so that a null one is an error and no crash.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace slidecell {

// Throws std::invalid_argument that names the array if it is null, unless it has n = 0 elements.
inline void require_pointer(const void* pointer, std::int64_t n, const char* name) {
  if (pointer == nullptr && n > 0) {
    throw std::invalid_argument(std::string(name) + ": expected a pointer, got null");
  }
}

}  // namespace slidecell
