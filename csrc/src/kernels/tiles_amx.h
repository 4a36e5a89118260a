// The eight tile registers of AMX: 16 rows of 64 bytes each. Numbers of tiles are part of an
// instruction, hence the template arguments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matrix_table.h"

namespace {

struct Tiles {
  static void store_config(slidecell::TileConfig& config) {
    asm volatile("sttilecfg %0" : "=m"(config));
  }
  static void load_config(const slidecell::TileConfig& config) {
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  static void release() { asm volatile("tilerelease" : : : "memory"); }

  template <int tile>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  static void load(const void* from, std::ptrdiff_t row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
                 :
                 : "r"(from), "r"(row_bytes), "i"(tile)
                 : "memory");
  }
  template <int tile>
  static void store(void* to, std::ptrdiff_t row_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
                 :
                 : "r"(to), "r"(row_bytes), "i"(tile)
                 : "memory");
  }
  // sums[m][n] += over k of a[m][k] b[k][n]: a of pairs [16][16], b of pairs [16][16].
  template <int sums, int a, int b>
  static void multiply_pairs() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
  // The same of signed bytes, four in a word, whose sums are int32 numbers.
  template <int sums, int a, int b>
  static void multiply_codes() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
};

}  // namespace
