// A head on a tile of windows, and on one window. Both give the same bits.
#pragma once

#include <array>
#include <cstdint>

#include "cpu/aligned.h"
#include "weights/head.h"

namespace slidecell {

// On columns of `stride` floats.
class HeadColumns {
 public:
  HeadColumns(const KernelTable& kernels, const Head& head, std::ptrdiff_t stride);
  // x [depth][stride] -> out [rows][stride], for `vectors` groups of columns.
  void run(const float* x, float* out, std::int64_t vectors);

 private:
  const KernelTable& kernels_;
  const Head& head_;
  std::ptrdiff_t stride_;
  std::array<AlignedFloats, 2> inner_;  // [inner_rows][stride], by turns
};

// Allocates when built and never after.
class HeadRow {
 public:
  HeadRow(const KernelTable& kernels, const Head& head);
  // x [depth] -> [rows], padded to whole vectors; valid until the next call.
  const float* run(const float* x);

 private:
  const KernelTable& kernels_;
  const Head& head_;
  std::array<AlignedFloats, 2> inner_;  // [inner_rows], padded, by turns
  AlignedFloats out_;                   // [rows], padded
};

// The floats between the layers of a head on `columns` columns, twice.
inline double inner_floats(const Head& head, std::int64_t columns) {
  return 2.0 * static_cast<double>(head.inner_rows()) * static_cast<double>(columns);
}

}  // namespace slidecell
