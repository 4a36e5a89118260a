// The tile registers of tiles_amx.h in plain C++, to test the kernels on any CPU. Tiles hold
// rubbish before they are written.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

std::atomic<int> tiles_in_use{0};

class Tiles {
 public:
  Tiles() {
    ++tiles_in_use;
    std::memset(data_, 0xff, sizeof data_);
  }
  ~Tiles() { --tiles_in_use; }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  template <int tile>
  void zero() {
    std::memset(data_[tile], 0, sizeof data_[tile]);
  }
  template <int tile>
  void load(const void* from, std::ptrdiff_t row_bytes) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(data_[tile][r], static_cast<const char*>(from) + r * row_bytes, 64);
    }
  }
  template <int tile>
  void store(void* to, std::ptrdiff_t row_bytes) {
    for (int r = 0; r < 16; ++r) {
      std::memcpy(static_cast<char*>(to) + r * row_bytes, data_[tile][r], 64);
    }
  }
  // In the order of the pairs, each product added on its own.
  template <int sums, int a, int b>
  void multiply() {
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        float sum = float_of(data_[sums][m][n]);
        for (int k = 0; k < 16; ++k) {
          const std::uint32_t x = data_[a][m][k], y = data_[b][k][n];
          sum += float_of(x << 16) * float_of(y << 16);
          sum += float_of(x & 0xffff0000u) * float_of(y & 0xffff0000u);
        }
        data_[sums][m][n] = bits_of(sum);
      }
    }
  }

 private:
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

  std::uint32_t data_[8][16][16];
};

}  // namespace
