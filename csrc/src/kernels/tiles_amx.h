// The eight tile registers of AMX: 16 rows of 64 bytes each. Numbers of tiles are part of an
// instruction, hence the template arguments.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

struct Tiles {
  // Configured for the kernel's duration: a thread that keeps tiles makes its context switches dear
  // and its core's sleep shallow.
  Tiles() {
    struct alignas(64) Config {
      std::uint8_t palette, start_row, reserved[14];
      std::uint16_t row_bytes[16];
      std::uint8_t rows[16];
    };
    static_assert(sizeof(Config) == 64, "the processor reads 64 bytes");
    static constexpr Config config{
        1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~Tiles() { asm volatile("tilerelease" : : : "memory"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int tile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  void load(const void* from, std::ptrdiff_t row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
                 :
                 : "r"(from), "r"(row_bytes), "i"(tile)
                 : "memory");
  }
  template <int tile>
  void store(void* to, std::ptrdiff_t row_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
                 :
                 : "r"(to), "r"(row_bytes), "i"(tile)
                 : "memory");
  }
  // sums[m][n] += over k of a[m][k] b[k][n]: a of pairs [16][16], b of pairs [16][16].
  template <int sums, int a, int b>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
};

}  // namespace
