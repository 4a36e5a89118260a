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

// The same by kLanes neighbouring lanes, all of which get it: each reads one of kLanes numbers that
// cut the entities into parts, so that of 100,000 entities eight lanes read 6 numbers one after
// the other, not 17. All lanes of a warp must come, those of one group with the same index.
template <int kLanes>
__device__ __forceinline__ int entity_by_lanes(const int64* first, int entities, int64 index) {
  const int lane = static_cast<int>(threadIdx.x % 32), begin = lane / kLanes * kLanes;
  int low = 0, high = entities;
  while (ballot(high - low > 1) != 0) {
    const int part = (high - low + kLanes) / (kLanes + 1);
    const int mine = low + (lane - begin + 1) * part;
    // Those that are at most `index` come first.
    const uint32 reached = ballot(mine < high && first[mine] <= index) >> begin;
    low += count_bits(reached & ((2u << (kLanes - 1)) - 1)) * part;
    high = low + part < high ? low + part : high;
  }
  return low;
}

// Vector `index` < a.last, of entity g.
__device__ __forceinline__ Vector vector_of(const WindowArgs& a, int64 first_row, int64 index,
                                            int g) {
  Vector v;
  const int64 window = (index - a.first_vector[g]) * kVector;
  const int64 left = a.first_window[g + 1] - a.first_window[g] - window;
  v.row = static_cast<int>(a.offsets[g] + window * a.stride - first_row);
  v.count = left < kVector ? static_cast<int>(left) : kVector;
  v.window = a.first_window[g] + window;
  return v;
}

__device__ __forceinline__ Vector find_vector(const WindowArgs& a, int64 first_row, int64 index) {
  if (index >= a.last) return Vector();
  return vector_of(a, first_row, index, entity_of(a.first_vector, a.entities, index));
}
// The same by kLanes neighbouring lanes, see entity_by_lanes.
template <int kLanes>
__device__ __forceinline__ Vector find_vector_by_lanes(const WindowArgs& a, int64 first_row,
                                                       int64 index) {
  const int64 some = index < a.last ? index : a.last - 1;
  const int g = entity_by_lanes<kLanes>(a.first_vector, a.entities, some);
  return index < a.last ? vector_of(a, first_row, index, g) : Vector();
}

// Whether none of `rows` rows from `row` on is missing.
__device__ __forceinline__ bool complete_rows(const SeriesArgs& a, int row, int rows) {
  if (!a.bad) return true;
  uint8 any = 0;
  for (int r = 0; r < rows; ++r) any |= a.bad[row + r];
  return any == 0;
}

}  // namespace slidecell
