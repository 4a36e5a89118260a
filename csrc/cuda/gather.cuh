// Copies windows out of a series: what `sliding_windows` gives. A warp copies a vector of windows,
// whose rows are found once and lie side by side.
#pragma once

#include "windows.cuh"

namespace slidecell {

struct GatherArgs {
  SeriesArgs series;  // values as they are
  WindowArgs windows;
  int64 first_window;  // of the launch
  float* x;            // [windows][W][F]
  float* y;            // [windows][K][F], or null
};

__device__ __forceinline__ void gather_windows(const GatherArgs& a) {
  const int W = a.windows.window, K = a.windows.horizon, F = a.series.features;
  const int lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(blockDim.x / 32);
  const int64 step = static_cast<int64>(gridDim.x) * warps;
  for (int64 i = a.windows.first + static_cast<int64>(blockIdx.x) * warps + threadIdx.x / 32;
       i < a.windows.last; i += step) {
    const Vector v = find_vector(a.windows, a.series.first_row, i);
    for (int n = 0; n < v.count; ++n) {
      const int64 row = v.row + n * static_cast<int64>(a.windows.stride);
      const float* from = a.series.x + row * F;
      const int64 to = v.window + n - a.first_window;
      for (int64 e = lane; e < static_cast<int64>(W) * F; e += 32) a.x[to * W * F + e] = from[e];
      if (!a.y) continue;
      from += static_cast<int64>(W) * F;
      for (int64 e = lane; e < static_cast<int64>(K) * F; e += 32) a.y[to * K * F + e] = from[e];
    }
  }
}

}  // namespace slidecell
