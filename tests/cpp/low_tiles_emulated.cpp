#include "low_tiles_emulated.h"

#include "kernels/codes_amx.h"
//
#include "kernels/tiles_emulated.h"
//
#include "kernels/low_tile-inl.h"

namespace slidecell::test {

const LowKernels& low_tiles_emulated() {
  static constexpr LowKernels kernels = make_low_tile_kernels("amx");
  return kernels;
}

TileConfig low_tile_config() {
  TileConfig config;
  Tiles::store_config(config);
  return config;
}

void set_low_tile_config(const TileConfig& config) { Tiles::load_config(config); }

}  // namespace slidecell::test
