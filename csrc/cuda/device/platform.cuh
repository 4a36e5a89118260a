// What the kernels need of a GPU beyond C++: its arithmetic, in one place. The host emulation of
// tests/cuda has a file of the same name with the same functions.
//
// Everything is compiled with --fmad=false -ftz=true: a product and a sum fuse only where the
// source says fma, and denormals are zero, as in the CPU kernels.
#pragma once

namespace slidecell {

using int64 = long long;
using uint8 = unsigned char;
using uint32 = unsigned int;

__device__ __forceinline__ float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ float absolute(float a) { return fabsf(a); }
__device__ __forceinline__ uint32 bits_of(float a) { return __float_as_uint(a); }
__device__ __forceinline__ float from_bits(uint32 a) { return __uint_as_float(a); }

// A NaN in x comes through, unlike with fminf and fmaxf.
__device__ __forceinline__ float at_most(float high, float x) {
#if __CUDA_ARCH__ >= 800
  asm("min.ftz.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(high));
  return x;
#else
  return high < x ? high : x;
#endif
}
__device__ __forceinline__ float at_least(float low, float x) {
#if __CUDA_ARCH__ >= 800
  asm("max.ftz.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(low));
  return x;
#else
  return low > x ? low : x;
#endif
}

// The special-function unit: 1 / x within 1 ulp, 2^x within 2 ulp, tanh(x) within 2^-11 of itself.
__device__ __forceinline__ float approximate_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float approximate_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float approximate_tanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Two numbers as bf16, rounded to nearest even: low half, high half.
__device__ __forceinline__ uint32 pack_bf16(float low, float high) {
  uint32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

// c += a b: a [16][16], b [16][8], c [16][8], spread over the 32 lanes of a warp as PTX says
// (mma.m16n8k16). Lane 4g+t holds rows g and g+8 of a and c, and column g of b. Volatile, so that
// no compiler moves it to where not all lanes come: all must execute it together.
__device__ __forceinline__ void multiply_tiles(float (&c)[4], const uint32 (&a)[4], uint32 b0,
                                               uint32 b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
      "{%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// All lanes of a warp together: which of them say so, a bit each; what lane `from` has.
__device__ __forceinline__ uint32 ballot(bool says) { return __ballot_sync(0xffffffffu, says); }
template <class T>
__device__ __forceinline__ T from_lane(T value, int from) {
  return __shfl_sync(0xffffffffu, value, from);
}
__device__ __forceinline__ int count_bits(uint32 bits) { return __popc(bits); }

// Weights that stay in device memory come through the read-only path.
__device__ __forceinline__ float4 load_constant(const float4* p) { return __ldg(p); }
__device__ __forceinline__ uint2 load_constant(const uint2* p) { return __ldg(p); }

// A 16-byte store to shared memory. Written as a plain assignment it became four of 4 bytes.
__device__ __forceinline__ void store_shared(float* p, const float (&v)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};"
               :
               : "r"(static_cast<uint32>(__cvta_generic_to_shared(p))), "f"(v[0]), "f"(v[1]),
                 "f"(v[2]), "f"(v[3])
               : "memory");
}

__device__ __forceinline__ float half_to_float(unsigned short half) {
  float value;
  asm("{ .reg .b16 h; mov.b16 h, %1; cvt.f32.f16 %0, h; }" : "=f"(value) : "h"(half));
  return value;
}

}  // namespace slidecell
