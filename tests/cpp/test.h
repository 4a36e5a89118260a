// The C++ tests need no framework: a file is one program, whose exit status counts its failures.
#pragma once

#include <cstdio>
#include <string>

namespace slidecell::test {

inline int failures = 0;

inline void report(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

// Exit status of main: ctest sees any failure, also 256 of them.
inline int result() { return failures == 0 ? 0 : 1; }

}  // namespace slidecell::test

#define CHECK(...)                                                            \
  do {                                                                        \
    if (!(__VA_ARGS__)) {                                                     \
      ::slidecell::test::report(__FILE__, __LINE__, "failed: " #__VA_ARGS__); \
    }                                                                         \
  } while (false)

// `expr` must throw `Type` with `text` somewhere in its message.
#define CHECK_THROWS(expr, Type, text)                                                           \
  do {                                                                                           \
    try {                                                                                        \
      static_cast<void>(expr);                                                                   \
      ::slidecell::test::report(__FILE__, __LINE__, "no " #Type " from: " #expr);                \
    } catch (const Type& error) {                                                                \
      if (std::string(error.what()).find(text) == std::string::npos) {                           \
        ::slidecell::test::report(__FILE__, __LINE__,                                            \
                                  std::string("message: ") + error.what() + ", not: " + (text)); \
      }                                                                                          \
    }                                                                                            \
  } while (false)
