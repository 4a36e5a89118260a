// A block's tile of windows: which they are, and layer 0's input projection, computed once per row
// and shared by all windows that cover it.
//
// Columns and slots: slot s is window s of the tile (vector s / 8). A thread computes four adjacent
// columns (or twice four), which hold four slots a quarter of the tile apart, so that neighbouring
// threads read neighbouring projected rows: 16 bytes apart in shared memory's banks.
#pragma once

#include "product.cuh"
#include "windows.cuh"

namespace slidecell {

class FmaTile {
 public:
  __device__ FmaTile(const FmaArgs& args, float* shared)
      : a_(args),
        vectors_(args.columns / kVector),
        pitch_(args.windows.stride < args.steps ? args.windows.stride : args.steps) {
    int* table = reinterpret_cast<int*>(shared + args.table);
    row_ = table;
    count_ = row_ + vectors_;
    at_ = count_ + vectors_;  // first projected row of each vector, then their total
    window_ = reinterpret_cast<int64*>(at_ + vectors_ + 2 - vectors_ % 2);
    x_ = shared + args.x;
  }

  // All threads; ends with a barrier.
  __device__ void load(int64 tile) {
    constexpr int kLanes = 8;  // that look for a vector; whole warps come
    for (int i = threadIdx.x; i - i % 32 < vectors_ * kLanes; i += blockDim.x) {
      const int v = i / kLanes;
      const int64 index = a_.windows.first + tile * vectors_ + v;
      const Vector found = find_vector_by_lanes<kLanes>(a_.windows, a_.series.first_row, index);
      if (i % kLanes != 0 || v >= vectors_) continue;
      row_[v] = found.row;
      count_[v] = found.count;
      window_[v] = found.window;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      // Vectors that follow each other in an entity share the rows that both need.
      int at = 0;
      for (int v = 0; v < vectors_; ++v) {
        at_[v] = at;
        const bool goes_on = v + 1 < vectors_ && count_[v + 1] > 0 &&
                             row_[v + 1] == row_[v] + kVector * a_.windows.stride &&
                             window_[v + 1] == window_[v] + kVector;
        at += goes_on ? kVector * pitch_ : rows_of_vector();
      }
      at_[vectors_] = at;
    }
    __syncthreads();
  }

  __device__ __forceinline__ int slot_of(int column) const {
    return column / 4 + column % 4 * (a_.columns / 4);
  }
  __device__ __forceinline__ int row_of(int slot) const {
    return row_[slot / kVector] + slot % kVector * a_.windows.stride;
  }
  __device__ __forceinline__ bool exists(int slot) const {
    return slot % kVector < count_[slot / kVector];
  }
  __device__ __forceinline__ int64 window_of(int slot) const {
    return window_[slot / kVector] + slot % kVector;
  }
  // Projected row of step `ahead` of the steps that are held.
  __device__ __forceinline__ int projected_row(int slot, int ahead) const {
    return at_[slot / kVector] + slot % kVector * pitch_ + ahead;
  }

  // p [rows][p_stride] = b + W_ih x for steps first .. of all windows. All threads; ends with a
  // barrier, and expects one since p was read.
  template <int gates, class Config>
  __device__ void project(const LayerArgs& layer, const float* weights, int first, float* p) {
    load_rows(first);
    __syncthreads();
    const int quads = (at_[vectors_] + 3) / 4, groups = layer.padded / 4;
    for (int i = threadIdx.x; i < quads * groups; i += blockDim.x) {
      const int r = i % quads * 4, j = i / quads * 4;
      Block<gates> sum;
      start_from<gates, Config::kOnChip>(weights + layer.bias + j, layer.padded, sum);
      accumulate<gates, Config::kOnChip>(weights + layer.w_ih + j, gates * layer.padded,
                                         layer.padded, x_ + r, a_.x_stride, layer.input, sum);
#pragma unroll
      for (int v = 0; v < 4; ++v) {
#pragma unroll
        for (int g = 0; g < gates; ++g) {
          const float units[4] = {sum.at[g][0][v], sum.at[g][1][v], sum.at[g][2][v],
                                  sum.at[g][3][v]};
          store4<Config::kProjectOnChip>(
              p + static_cast<int64>(r + v) * a_.p_stride + g * layer.padded + j, units);
        }
      }
    }
    __syncthreads();
  }

 private:
  __device__ __forceinline__ int rows_of_vector() const {
    return (kVector - 1) * pitch_ + a_.steps;
  }

  // Rows of steps first .. first+steps-1, transposed. Rows that two vectors share are written
  // twice, with the same values; those beyond the series (no window needs them) are its last.
  __device__ void load_rows(int first) {
    const int rows = rows_of_vector(), features = a_.series.features;
    for (int i = threadIdx.x; i < vectors_ * rows; i += blockDim.x) {
      const int v = i / rows, r = i % rows;
      const int lane = r / pitch_ < kVector ? r / pitch_ : kVector - 1;
      int64 row = static_cast<int64>(row_[v]) + lane * static_cast<int64>(a_.windows.stride) +
                  (r - lane * pitch_) + first;
      row = row < a_.series.rows ? row : a_.series.rows - 1;
      const float* from = a_.series.x + row * features;
      float* to = x_ + at_[v] + r;
      for (int f = 0; f < features; ++f) to[f * a_.x_stride] = from[f];
    }
    const int total = at_[vectors_], end = (total + 3) / 4 * 4;
    for (int i = threadIdx.x; i < (end - total) * features; i += blockDim.x) {
      x_[i / (end - total) * a_.x_stride + total + i % (end - total)] = 0.0f;
    }
  }

  const FmaArgs& a_;
  int vectors_;
  int pitch_;  // projected rows from one window to the next
  int *row_, *count_, *at_;
  int64* window_;
  float* x_;
};

}  // namespace slidecell
