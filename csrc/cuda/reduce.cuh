// Scores that one pass over the predictions does not give: the Mahalanobis distance of the errors,
// and a row's own errors averaged over all windows that cover it. They read the predictions of
// a chunk's windows, in scaled units, from device memory.
#pragma once

#include "windows.cuh"

namespace slidecell {

struct ReduceArgs {
  SeriesArgs series;
  WindowArgs windows;        // first .. last: vectors of this launch
  const float* predictions;  // [windows][K or W][T], window first_window first
  const uint8* complete;     // [windows] of the W input rows
  int64 first_window;
  int targets;
  const int* target;  // [T]
  int absolute;
  int first_row;        // predicted rows before this one do not count
  int per_feature;      // averaged rows: T values a row, else one
  const float* whiten;  // [D][D] or null: no Mahalanobis distance
  const float* shift;   // [D]: whiten (error - mean) = whiten error + shift
  int size;             // D
  float factor;
  float* out;    // distances: from the chunk's first row on; averages: of all rows
  double* sums;  // averages: [S][values]
  int* counts;   // [S]
  double divisor;
  int64 rows;  // S
};

__device__ __forceinline__ float error_at(const ReduceArgs& a, int64 window, int row, int truth_row,
                                          int target) {
  const int steps = a.windows.horizon > 0 ? a.windows.horizon : a.windows.window;
  const float prediction =
      a.predictions[((window - a.first_window) * steps + row) * a.targets + target];
  const int64 at = static_cast<int64>(truth_row) * a.series.features + a.target[target];
  return prediction - a.series.x[at];
}

// The squared norm of whiten (error - mean). A forecast's K rows form one error vector, a
// reconstruction's rows one each.
__device__ __forceinline__ float squared_distance(const ReduceArgs& a, int64 window, int row,
                                                  int truth_row) {
  float distance = 0.0f;
  for (int d = 0; d < a.size; ++d) {
    float z = a.shift[d];
    for (int k = 0; k < a.size; ++k) {
      const int ahead = k / a.targets;
      const float error = error_at(a, window, row + ahead, truth_row + ahead, k % a.targets);
      z = fma(a.whiten[d * a.size + k], error, z);
    }
    distance = fma(z, z, distance);
  }
  return distance;
}

// Calls run(vector, lane) for each window of the launch, a thread each.
template <class Run>
__device__ __forceinline__ void for_windows(const SeriesArgs& series, const WindowArgs& windows,
                                            Run run) {
  const int64 count = (windows.last - windows.first) * kVector;
  const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
  for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const Vector v = find_vector(windows, series.first_row, windows.first + i / kVector);
    const int lane = static_cast<int>(i % kVector);
    if (lane < v.count) run(v, lane);
  }
}

// out: the Mahalanobis score of every window, at the last row that it needs.
__device__ __forceinline__ void score_distances(const ReduceArgs& a) {
  for_windows(a.series, a.windows, [&](const Vector& v, int lane) {
    const int W = a.windows.window, K = a.windows.horizon;
    const int row = v.row + lane * a.windows.stride;
    const int64 window = v.window + lane;
    if (!complete_rows(a.series, row, W + K)) return;
    float total = 0.0f;
    if (K > 0) {
      total = squared_distance(a, window, 0, row + W);
    } else {
      for (int t = a.first_row; t < W; ++t) {
        total = total + squared_distance(a, window, t, row + t);
      }
    }
    a.out[static_cast<int64>(row) + W + K - 1] = total * a.factor;
  });
}

// A row's own error in a window: its distance, the error of one feature, or of all.
__device__ __forceinline__ float row_error(const ReduceArgs& a, int64 window, int t, int truth_row,
                                           int value) {
  if (a.whiten) return squared_distance(a, window, t, truth_row);
  float sum = 0.0f;
  const int first = a.per_feature ? value : 0, end = a.per_feature ? value + 1 : a.targets;
  for (int f = first; f < end; ++f) {
    const float error = error_at(a, window, t, truth_row, f);
    sum = a.absolute ? sum + absolute(error) : fma(error, error, sum);
  }
  return sum;
}

// sums, counts += the errors of the chunk's rows in this launch's windows, in ascending order of
// the windows. Chunks come in that order too, so a sum does not depend on how the series is cut.
__device__ __forceinline__ void add_row_errors(const ReduceArgs& a) {
  const WindowArgs& w = a.windows;
  const int values = a.per_feature ? a.targets : 1;
  const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
  const int64 count = static_cast<int64>(a.series.rows) * values;
  const int first_entity = entity_of(w.first_vector, w.entities, w.first);
  const int64 first =
      w.first_window[first_entity] + (w.first - w.first_vector[first_entity]) * kVector;
  const int last_entity = entity_of(w.first_vector, w.entities, w.last - 1);
  const int64 end_of_entity = w.first_window[last_entity + 1];
  const int64 end_of_launch =
      w.first_window[last_entity] + (w.last - w.first_vector[last_entity]) * kVector;
  const int64 end = end_of_launch < end_of_entity ? end_of_launch : end_of_entity;
  for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int row = static_cast<int>(i / values);
    const int64 r = a.series.first_row + row;
    const int g = entity_of(w.offsets, w.entities, r);
    const int64 own = r - w.offsets[g];  // of the entity
    // Windows of the entity that cover the row and belong to the launch.
    int64 from = own < w.window ? 0 : (own - w.window) / w.stride + 1;
    int64 to = own / w.stride + 1;
    from += w.first_window[g];
    to += w.first_window[g];
    if (to > w.first_window[g + 1]) to = w.first_window[g + 1];
    if (from < first) from = first;
    if (to > end) to = end;
    double sum = 0.0;
    int covering = 0;
    if (from < to) {
      sum = a.sums[r * values + i % values];
      for (int64 n = from; n < to; ++n) {
        if (!a.complete[n - a.first_window]) continue;
        const int64 start = (n - w.first_window[g]) * w.stride;
        sum += static_cast<double>(
            row_error(a, n, static_cast<int>(own - start), row, static_cast<int>(i % values)));
        ++covering;
      }
      a.sums[r * values + i % values] = sum;
    }
    if (i % values == 0 && covering > 0) a.counts[r] += covering;
  }
}

// out = sums / (counts * divisor), NaN where no window covers a row.
__device__ __forceinline__ void average_rows(const ReduceArgs& a) {
  const int values = a.per_feature ? a.targets : 1;
  const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
  for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < a.rows * values;
       i += step) {
    const int count = a.counts[i / values];
    a.out[i] = count > 0 ? static_cast<float>(a.sums[i] / (count * a.divisor)) : not_a_number();
  }
}

}  // namespace slidecell
