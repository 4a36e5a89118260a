// The configuration of a matrix unit's registers.
#pragma once

#include <cstdint>

namespace slidecell {

// How the tile registers of a thread are configured, as the processor reads and writes it.
struct alignas(64) TileConfig {
  std::uint8_t palette;  // 0: not at all
  std::uint8_t start_row;
  std::uint8_t reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64, "the processor's size");

}  // namespace slidecell
