// The tile registers of tiles_amx.h in plain C++, to test the kernels on any CPU. Tiles hold
// rubbish before they are written, and a thread that did not configure them ends the process, as
// the processor would end it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels/matrix_table.h"

namespace {

class Tiles {
 public:
  static void store_config(slidecell::TileConfig& config) { config = own().config; }
  static void load_config(const slidecell::TileConfig& config) {
    own().config = config;
    std::memset(own().data, 0xff, sizeof own().data);
  }
  static void release() { own().config = {}; }

  template <int tile>
  static void zero() {
    std::memset(data(tile), 0, sizeof own().data[tile]);
  }
  template <int tile>
  static void load(const void* from, std::ptrdiff_t row_bytes) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(data(tile)[r], static_cast<const char*>(from) + r * row_bytes, 64);
    }
  }
  template <int tile>
  static void store(void* to, std::ptrdiff_t row_bytes) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(static_cast<char*>(to) + r * row_bytes, data(tile)[r], 64);
    }
  }
  // In the order of the pairs, each product added on its own.
  template <int sums, int a, int b>
  static void multiply_pairs() {
    Row *const to = data(sums), *const left = data(a), *const right = data(b);
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        float sum = float_of(to[m][n]);
        for (int k = 0; k < 16; ++k) {
          const std::uint32_t x = left[m][k], y = right[k][n];
          sum += float_of(x << 16) * float_of(y << 16);
          sum += float_of(x & 0xffff0000u) * float_of(y & 0xffff0000u);
        }
        to[m][n] = bits_of(sum);
      }
    }
  }
  // Sums wrap around.
  template <int sums, int a, int b>
  static void multiply_codes() {
    Row *const to = data(sums), *const left = data(a), *const right = data(b);
    for (int m = 0; m < 16; ++m) {
      for (int k = 0; k < 16; ++k) {
        for (int n = 0; n < 16; ++n) {
          std::int32_t sum = 0;
          for (int i = 0; i < 32; i += 8) {
            sum += byte_of(left[m][k], i) * byte_of(right[k][n], i);
          }
          to[m][n] += static_cast<std::uint32_t>(sum);
        }
      }
    }
  }

 private:
  using Row = std::uint32_t[16];
  struct Registers {
    slidecell::TileConfig config;
    Row data[8][16];
  };
  static Registers& own() {
    static thread_local Registers registers{};
    return registers;
  }
  static Row* data(int tile) {
    const slidecell::TileConfig& config = own().config;
    if (config.palette != 1 || config.row_bytes[tile] != 64 || config.rows[tile] != 16) {
      std::abort();
    }
    return own().data[tile];
  }
  static std::int32_t byte_of(std::uint32_t word, int shift) {
    return static_cast<std::int8_t>(word >> shift);
  }
  static float float_of(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  static std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
};

}  // namespace
