// Rows of a series, of any dtype, as the kernels want them: float32, scaled in float64, and bad
// rows (NaN or infinity after the cast) zeroed and marked. One pass over the series.
#pragma once

#include "arguments.cuh"

namespace slidecell {

enum DType { kF32, kF64, kF16, kI8, kI16, kI32, kI64, kU8, kU16, kU32, kU64, kBool };

struct RowsArgs {
  const void* data;  // [rows][features], contiguous
  int dtype;
  int features;
  int64 rows;
  const double* center;  // [features], or null: no scaling
  const double* scale;
  float* x;    // [rows][features]
  uint8* bad;  // [rows], or null: values are copied as they are
};

template <class T>
__device__ __forceinline__ double wide(const void* data, int64 i) {
  return static_cast<double>(static_cast<const T*>(data)[i]);
}

// Any value but those of 64 bits is exact in float64; casting through it rounds once all the same,
// but for 64-bit integers, which are cast to float32 directly.
__device__ __forceinline__ float load_real(const RowsArgs& a, int64 i, int f) {
  double value = 0.0;
  switch (static_cast<DType>(a.dtype)) {
    case kF32: {
      const float x = static_cast<const float*>(a.data)[i];
      if (!a.center) return x;
      value = static_cast<double>(x);
      break;
    }
    case kF64:
      value = wide<double>(a.data, i);
      break;
    case kF16:
      value = static_cast<double>(half_to_float(static_cast<const unsigned short*>(a.data)[i]));
      break;
    case kI8:
      value = wide<signed char>(a.data, i);
      break;
    case kI16:
      value = wide<short>(a.data, i);
      break;
    case kI32:
      value = wide<int>(a.data, i);
      break;
    case kI64:
      if (!a.center) return static_cast<float>(static_cast<const int64*>(a.data)[i]);
      value = wide<int64>(a.data, i);
      break;
    case kU8:
      value = wide<uint8>(a.data, i);
      break;
    case kU16:
      value = wide<unsigned short>(a.data, i);
      break;
    case kU32:
      value = wide<uint32>(a.data, i);
      break;
    case kU64:
      if (!a.center) return static_cast<float>(static_cast<const unsigned long long*>(a.data)[i]);
      value = wide<unsigned long long>(a.data, i);
      break;
    case kBool:
      value = static_cast<const uint8*>(a.data)[i] ? 1.0 : 0.0;
  }
  return static_cast<float>(a.center ? (value - a.center[f]) / a.scale[f] : value);
}

// A thread per row: the 32 rows of a warp lie side by side, so all bytes of a cache line are used.
__device__ __forceinline__ void copy_rows(const RowsArgs& a) {
  const int64 step = static_cast<int64>(gridDim.x) * blockDim.x;
  for (int64 r = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; r < a.rows; r += step) {
    float* to = a.x + r * a.features;
    bool bad = false;
    for (int f = 0; f < a.features; ++f) {
      const float value = load_real(a, r * a.features + f, f);
      bad |= (bits_of(value) & 0x7f800000u) == 0x7f800000u;
      to[f] = value;
    }
    if (!a.bad) continue;
    a.bad[r] = bad;
    if (!bad) continue;
    for (int f = 0; f < a.features; ++f) to[f] = 0.0f;
  }
}

}  // namespace slidecell
