// The input projection of a tile's rows, shared by the windows that cover them.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"
#include "score/window_tile.h"

namespace slidecell {

// Layer 0's input projection, computed once per row of a tile and shared by all windows that
// cover it, for a bounded number of steps at a time.
class SharedProjection final : public InputColumns {
 public:
  SharedProjection(const KernelTable& kernels, const PackedLayer& layer, WindowTile& tile,
                   std::int64_t max_vectors);
  // Forgets the tile before; call after WindowTile::load.
  void begin();
  StepInput at(std::int64_t step, std::size_t direction) override;

 private:
  std::int64_t steps_at_once(std::int64_t row_step) const;
  void project(std::int64_t first_step, std::size_t direction);

  const KernelTable& kernels_;
  const PackedLayer& layer_;
  WindowTile& tile_;
  std::int64_t steps_;            // per chunk
  std::int64_t first_step_ = -1;  // of the chunk in p_; -1: none
  std::size_t direction_ = 0;
  std::int64_t plane_ = 0;
  std::ptrdiff_t stride_ = 0;
  std::vector<std::int32_t> base_, col_;
  AlignedFloats p_;  // [G*H][stride_]
};

}  // namespace slidecell
