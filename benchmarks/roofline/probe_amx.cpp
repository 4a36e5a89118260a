// AMX: tiles of 16 x 32 by 32 x 16 bf16 numbers, or 16 x 64 by 64 x 16 codes of 8 bits.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probes.h"

namespace roofline {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Six sums: a product takes 16 cycles and is there after 52.
template <bool codes>
void tile_products(float*, std::int64_t rounds) {
  // Static: GCC 12 believes that the instruction reads eight bytes, and drops stores to the others.
  static constexpr TileConfig config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (std::int64_t i = 0; i < rounds; ++i) {
    if constexpr (codes) {
      _tile_dpbssd(0, 6, 7);
      _tile_dpbssd(1, 6, 7);
      _tile_dpbssd(2, 6, 7);
      _tile_dpbssd(3, 6, 7);
      _tile_dpbssd(4, 6, 7);
      _tile_dpbssd(5, 6, 7);
    } else {
      _tile_dpbf16ps(0, 6, 7);
      _tile_dpbf16ps(1, 6, 7);
      _tile_dpbf16ps(2, 6, 7);
      _tile_dpbf16ps(3, 6, 7);
      _tile_dpbf16ps(4, 6, 7);
      _tile_dpbf16ps(5, 6, 7);
    }
  }
  _tile_release();
}

}  // namespace

bool amx_permitted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2), XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

const TileProbes& probes_amx() {
  static constexpr TileProbes probes{{&tile_products<false>, 1000, 6.0 * 16 * 16 * 32},
                                     {&tile_products<true>, 1000, 6.0 * 16 * 16 * 64}};
  return probes;
}
}  // namespace roofline
