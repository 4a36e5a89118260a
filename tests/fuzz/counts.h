// How far the inputs of a run got, printed when it ends: a fuzzer whose inputs all fail at the
// first byte shows nothing.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace slidecell::fuzz {

struct Counts {
  std::uint64_t inputs = 0;       // given to the harness
  std::uint64_t past_header = 0;  // of which the outermost form was read
  std::uint64_t accepted = 0;     // of which nothing was refused
  std::uint64_t ran = 0;          // of which scored rows: the others exceed the budget of one input
};

inline Counts& counts() {
  static Counts* const it = [] {
    std::atexit([] {
      const Counts& c = counts();
      const auto percent = [&](std::uint64_t n) {
        return c.inputs > 0 ? 100.0 * static_cast<double>(n) / static_cast<double>(c.inputs) : 0.0;
      };
      std::fprintf(stderr,
                   "counts: inputs %llu, past header %llu (%.1f %%), accepted %llu (%.1f %%), ran "
                   "%llu (%.1f %%)\n",
                   static_cast<unsigned long long>(c.inputs),
                   static_cast<unsigned long long>(c.past_header), percent(c.past_header),
                   static_cast<unsigned long long>(c.accepted), percent(c.accepted),
                   static_cast<unsigned long long>(c.ran), percent(c.ran));
    });
    return new Counts;  // outlives the handler above
  }();
  return *it;
}

}  // namespace slidecell::fuzz
