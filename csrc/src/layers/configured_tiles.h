// A thread's tile registers, configured for the length of a run.
#pragma once

#include "kernels/tile_config.h"

namespace slidecell {

// For the length of a run only: a thread that keeps tiles makes its context switches dear and its
// core's sleep shallow.
class ConfiguredTiles {
 public:
  ConfiguredTiles() = default;  // none
  // Of matrix kernels or 8-bit ones; those without tiles need no configuration.
  template <class Kernels>
  explicit ConfiguredTiles(const Kernels& kernels) : end_(kernels.end_tiles) {
    if (kernels.begin_tiles) kernels.begin_tiles(before_);
  }
  ~ConfiguredTiles() {
    if (end_) end_(before_);
  }
  ConfiguredTiles(const ConfiguredTiles&) = delete;
  ConfiguredTiles& operator=(const ConfiguredTiles&) = delete;

 private:
  void (*end_)(const TileConfig& before) = nullptr;
  TileConfig before_{};
};

}  // namespace slidecell
