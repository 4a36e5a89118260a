// A warp's windows and their rows as matrix tiles.
//
// The layout is the one that the matrix unit wants (see multiply_tiles): rows are windows, columns
// are inputs or units. Lane 4g+t holds, of windows g and g+8, columns 2t, 2t+1, 2t+8 and 2t+9 of
// a tile of 16 rows and 16 columns. A product's result has the same layout, 8 columns at a time: so
// the h that a lane computes is the h that it needs at the next step, and what the lanes keep in
// shared memory is read back by the lane that wrote it. No barrier is needed between steps.
#pragma once

#include "activations.cuh"
#include "windows.cuh"

namespace slidecell {

// x as bf16, or as the sum of two bf16 numbers, good to 2^-17 of x: [part].
template <int kParts>
struct Split {
  uint32 part[kParts];  // two numbers each
};

template <int kParts>
__device__ __forceinline__ Split<kParts> split(float low, float high) {
  Split<kParts> s;
  s.part[0] = pack_bf16(low, high);
  if (kParts == 2) {
    s.part[kParts - 1] =
        pack_bf16(low - from_bits(s.part[0] << 16), high - from_bits(s.part[0] & 0xffff0000u));
  }
  return s;
}

// Up to kTiles tiles of 16 columns of one operand, for kRows * 16 windows. kExact: never fewer, so
// that loops over tiles have no way out, at which the compiler would copy all sums.
template <int kParts, int kRows, int kTiles, bool kExact>
struct Operand {
  uint32 at[kTiles][kParts][kRows][4];
};

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int lane_group() { return lane_id() / 4; }  // g
__device__ __forceinline__ int lane_pair() { return lane_id() % 4; }   // t

// An operand in a warp's part of the shared memory: [tile][part][row][half of 8 columns][lane][2]
// words. A lane writes a half at a time, and both are read: 16 bytes for each lane side by side
// would take one load for two, but twice the cycles for each store, at which lanes 8 apart meet.
template <int kParts, int kRows, int kTiles, bool kExact>
__device__ __forceinline__ void load_operand(const uint32* from, int tiles,
                                             Operand<kParts, kRows, kTiles, kExact>& to) {
#pragma unroll
  for (int k = 0; k < kTiles; ++k) {
    if (!kExact && k >= tiles) break;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int m = 0; m < kRows; ++m) {
        const uint32* tile = from + ((k * kParts + p) * kRows + m) * 128 + lane_id() * 2;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint2 v = *reinterpret_cast<const uint2*>(tile + half * 64);
          to.at[k][p][m][half * 2] = v.x, to.at[k][p][m][half * 2 + 1] = v.y;
        }
      }
    }
  }
}

// Columns 8u .. 8u+7 of an operand: value[0..1] of window g and value[2..3] of window g+8.
template <int kParts, int kRows>
__device__ __forceinline__ void store_columns(uint32* to, int u, int m, const float (&value)[4]) {
  const Split<kParts> first = split<kParts>(value[0], value[1]);
  const Split<kParts> second = split<kParts>(value[2], value[3]);
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    uint32* at = to + ((u / 2 * kParts + p) * kRows + m) * 128 + u % 2 * 64 + lane_id() * 2;
    *reinterpret_cast<uint2*>(at) = make_uint2(first.part[p], second.part[p]);
  }
}

// The windows of a warp: kRows * 2 vectors.
template <int kRows>
class MmaTile {
 public:
  __device__ MmaTile(const SeriesArgs& series, const WindowArgs& windows)
      : series_(series), windows_(windows) {}

  // All lanes together.
  __device__ __forceinline__ void load(int64 tile) {
    constexpr int kVectors = kRows * 2, kLanes = 32 / kVectors;  // that look for a vector
    const int64 index = windows_.first + tile * kVectors + lane_id() / kLanes;
    const Vector v = find_vector_by_lanes<kLanes>(windows_, series_.first_row, index);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      // Windows that do not exist compute on the last row; nobody reads their results.
      row_[i] = from_lane(v.row, i * kLanes) + lane_group() * static_cast<int64>(windows_.stride);
    }
    // Lane l owns the results of window l of the tile.
    const int owner = lane_id() / kVector % kVectors * kLanes, within = lane_id() % kVector;
    owned_row_ = static_cast<int>(from_lane(v.row, owner) + within * windows_.stride);
    owned_window_ = from_lane(v.window, owner) + within;
    exists_ = within < from_lane(v.count, owner);
  }

  // Row t of all windows, as bf16.
  template <int kParts, int kTiles, bool kExact>
  __device__ __forceinline__ void load_rows(int t, int tiles,
                                            Operand<kParts, kRows, kTiles, kExact>& to) const {
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      const float* first = row_at(row_[2 * m] + t);
      const float* second = row_at(row_[2 * m + 1] + t);
#pragma unroll
      for (int k = 0; k < kTiles; ++k) {
        if (!kExact && k >= tiles) break;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int column = k * 16 + half * 8 + lane_pair() * 2;
          const Split<kParts> a = split<kParts>(value(first, column), value(first, column + 1));
          const Split<kParts> b = split<kParts>(value(second, column), value(second, column + 1));
#pragma unroll
          for (int p = 0; p < kParts; ++p) {
            to.at[k][p][m][half * 2] = a.part[p];
            to.at[k][p][m][half * 2 + 1] = b.part[p];
          }
        }
      }
    }
  }

  __device__ __forceinline__ int owned_row() const { return owned_row_; }
  __device__ __forceinline__ int64 owned_window() const { return owned_window_; }
  __device__ __forceinline__ bool exists() const { return exists_; }

 private:
  __device__ __forceinline__ const float* row_at(int64 row) const {
    const int64 last = series_.rows - 1;
    return series_.x + (row < last ? row : last) * series_.features;
  }
  __device__ __forceinline__ float value(const float* row, int column) const {
    return column < series_.features ? row[column] : 0.0f;
  }

  const SeriesArgs& series_;
  const WindowArgs& windows_;
  int64 row_[kRows * 2];  // of window g of each vector
  int owned_row_ = 0;
  int64 owned_window_ = 0;
  bool exists_ = false;
};

}  // namespace slidecell
