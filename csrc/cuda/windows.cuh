// Which windows a vector holds, and whether they are complete.
#pragma once

#include "arguments.cuh"

namespace slidecell {

// The vector's windows are row, row + stride, ...; a vector past the last has none.
struct Vector {
  int row = 0;  // first row of its first window, within the chunk
  int count = 0;
  int64 window = 0;  // number of the first one in the whole series
};

// The last entity whose first number is at most `index`: the one that `index` lies in, since an
// entity without numbers is never the last.
__device__ __forceinline__ int entity_of(const int64* first, int entities, int64 index) {
  int low = 0, high = entities;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (first[middle] <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

__device__ __forceinline__ Vector find_vector(const WindowArgs& a, int64 first_row, int64 index) {
  Vector v;
  if (index >= a.last) return v;
  const int g = entity_of(a.first_vector, a.entities, index);
  const int64 window = (index - a.first_vector[g]) * kVector;
  const int64 left = a.first_window[g + 1] - a.first_window[g] - window;
  v.row = static_cast<int>(a.offsets[g] + window * a.stride - first_row);
  v.count = left < kVector ? static_cast<int>(left) : kVector;
  v.window = a.first_window[g] + window;
  return v;
}

// Whether none of `rows` rows from `row` on is missing.
__device__ __forceinline__ bool complete_rows(const SeriesArgs& a, int row, int rows) {
  if (!a.bad) return true;
  uint8 any = 0;
  for (int r = 0; r < rows; ++r) any |= a.bad[row + r];
  return any == 0;
}

}  // namespace slidecell
