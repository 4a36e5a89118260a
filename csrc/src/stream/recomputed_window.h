// A bidirectional stack on the last W rows: its reverse direction starts at the newest row, so no
// state can be carried from row to row and the window is computed anew.
#pragma once

#include <cstdint>

#include "layers/columns.h"

namespace slidecell {

// Allocates when built and never after.
class RecomputedWindow {
 public:
  RecomputedWindow(const KernelTable& kernels, const Stack& stack, std::int64_t window,
                   Products products);

  // ring [ring_rows][F], row n at n % ring_rows. Returns the code of the window that ends at row n.
  const float* code(const float* ring, std::int64_t ring_rows, std::int64_t n);

 private:
  class Input;
  const KernelTable& kernels_;
  std::int64_t window_;
  StackColumns columns_;
  AlignedFloats x_, p_;  // one group of columns, all the same window: [F][lanes], [G*H][lanes]
  AlignedFloats code_;   // [output_size]
};

}  // namespace slidecell
