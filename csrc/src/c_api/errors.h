// What the functions of the C interface share: pointers checked, exceptions turned into a status
// and a text.
#pragma once

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

#include "slidecell/error.hpp"
#include "slidecell/slidecell.h"
#include "slidecell/stream.hpp"

namespace slidecell::c_api {

// Keeps the text for slidecell_last_error; returns the status. It allocates nothing.
int fail(slidecell_status status, const char* text) noexcept;

// A status of a stream's own, which brings no text; it allocates nothing.
int report(const Stream& stream, Status status, std::int64_t entity) noexcept;

// For calls that may not allocate: the text begins with the argument's name.
inline int null_argument(const char* text) noexcept {
  return fail(SLIDECELL_INVALID_ARGUMENT, text);
}

// Runs the body of a function of the C interface; returns its status.
template <class Body>
int guarded(Body body) noexcept {
  try {
    body();
    return SLIDECELL_OK;
  } catch (const IoError& e) {
    return fail(SLIDECELL_IO_ERROR, e.what());
  } catch (const UnsupportedError& e) {
    return fail(SLIDECELL_UNSUPPORTED, e.what());
  } catch (const std::invalid_argument& e) {
    return fail(SLIDECELL_INVALID_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return fail(SLIDECELL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // a container beyond max_size: memory that nobody has
    return fail(SLIDECELL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return fail(SLIDECELL_INTERNAL, e.what());
  } catch (...) {
    return fail(SLIDECELL_INTERNAL, "unknown error");
  }
}

inline void require(const void* pointer, const char* name) {
  if (!pointer) throw std::invalid_argument(std::string(name) + ": expected a pointer, got NULL");
}

inline void require_count(std::int64_t n, const char* name) {
  if (n < 0) {
    throw std::invalid_argument(std::string(name) + ": expected 0 or more, got " +
                                std::to_string(n));
  }
}

// An array of n elements may be NULL where n is 0.
inline void require_array(const void* pointer, std::int64_t n, const char* name,
                          const char* size_name) {
  require_count(n, size_name);
  if (n > 0) require(pointer, name);
}

// A value of an enumeration of C may be any number.
template <class To>
To choice(int value, int count, const char* name) {
  if (value < 0 || value >= count) {
    throw std::invalid_argument(std::string(name) + ": expected 0 to " + std::to_string(count - 1) +
                                ", got " + std::to_string(value));
  }
  return static_cast<To>(value);
}

}  // namespace slidecell::c_api
