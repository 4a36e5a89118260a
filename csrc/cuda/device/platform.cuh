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

// For sm_90a. d = a b or, if goes_on, d += a b for the 64 windows of a group of four warps:
// a [64][16], 16 rows a warp, as multiply_tiles has them; b [16][64] in shared memory, blocks of 8
// columns one after the other, of each two squares of 8 rows, of each 16 bytes a column; d
// [64][64], for each 8 columns as multiply_tiles has c. The unit reads b and the lanes' a on its
// own: neither they nor d may be touched before wait_for_products.
template <bool goes_on>
__device__ __forceinline__ void multiply_group(float (&d)[32], const uint32 (&a)[4],
                                               const uint32* b) {
  // In units of 16 bytes: where b begins, 8 to the next square of rows, 16 to the next columns.
  const unsigned long long where =
      (static_cast<unsigned long long>(__cvta_generic_to_shared(b)) & 0x3ffff) >> 4 | 8ull << 16 |
      16ull << 32;
  if (goes_on) {
    asm volatile(
        "{ .reg .pred goes_on; setp.ne.b32 goes_on, 1, 0; "
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7,"
        "%8, %9, %10, %11, %12, %13, %14, %15,"
        "%16, %17, %18, %19, %20, %21, %22, %23,"
        "%24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, goes_on, 1, 1, 0; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
          "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
          "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
          "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
          "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where));
  } else {
    asm volatile(
        "{ .reg .pred goes_on; setp.ne.b32 goes_on, 0, 0; "
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7,"
        "%8, %9, %10, %11, %12, %13, %14, %15,"
        "%16, %17, %18, %19, %20, %21, %22, %23,"
        "%24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, goes_on, 1, 1, 0; }"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3]), "=f"(d[4]), "=f"(d[5]), "=f"(d[6]),
          "=f"(d[7]), "=f"(d[8]), "=f"(d[9]), "=f"(d[10]), "=f"(d[11]), "=f"(d[12]), "=f"(d[13]),
          "=f"(d[14]), "=f"(d[15]), "=f"(d[16]), "=f"(d[17]), "=f"(d[18]), "=f"(d[19]), "=f"(d[20]),
          "=f"(d[21]), "=f"(d[22]), "=f"(d[23]), "=f"(d[24]), "=f"(d[25]), "=f"(d[26]), "=f"(d[27]),
          "=f"(d[28]), "=f"(d[29]), "=f"(d[30]), "=f"(d[31])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where));
  }
}
// Registers that products read as they are now, whatever the compiler might put off.
__device__ __forceinline__ void hold(uint32 (&a)[4]) {
  asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}
// What the lanes wrote to shared memory is the matrix unit's to read, after a barrier.
__device__ __forceinline__ void show_to_matrix_unit() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// Before the first product: registers that lanes wrote are the unit's to read.
__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
// Ends a batch of products.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits until all batches but the last `left` are done, that of d among them. That it names d keeps
// the compiler from reading d before.
template <int left>
__device__ __forceinline__ void wait_for_products(float (&d)[32]) {
  asm volatile("wgmma.wait_group.sync.aligned %32;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
                 "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]),
                 "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]),
                 "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
                 "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]),
                 "+f"(d[31])
               : "n"(left)
               : "memory");
}

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
