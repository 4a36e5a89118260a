// Four floats in a NEON register (AArch64).
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace {  // one private copy per translation unit: see isa_scalar.cpp

struct Vec {
  static constexpr int lanes = 4;
  float32x4_t v;

  Vec() = default;
  Vec(float32x4_t x) : v(x) {}
  Vec(float x) : v(vdupq_n_f32(x)) {}

  static Vec load(const float* p) { return vld1q_f32(p); }
  // NEON has no masked access: the last few floats go through the stack.
  static Vec load(const float* p, std::int64_t n) {
    float t[4] = {};
    for (std::int64_t l = 0; l < n; ++l) t[l] = p[l];
    return vld1q_f32(t);
  }
  void store(float* p) const { vst1q_f32(p, v); }
  void store(float* p, std::int64_t n) const {
    float t[4];
    vst1q_f32(t, v);
    for (std::int64_t l = 0; l < n; ++l) p[l] = t[l];
  }

  friend Vec operator+(Vec a, Vec b) { return vaddq_f32(a.v, b.v); }
  friend Vec operator-(Vec a, Vec b) { return vsubq_f32(a.v, b.v); }
  friend Vec operator*(Vec a, Vec b) { return vmulq_f32(a.v, b.v); }
  friend Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c.v, a.v, b.v); }
  friend Vec abs(Vec a) { return vabsq_f32(a.v); }
  friend Vec min(Vec a, Vec b) { return vminq_f32(a.v, b.v); }
  friend Vec max(Vec a, Vec b) { return vmaxq_f32(a.v, b.v); }

  friend Vec quotient(Vec a, Vec b) { return vdivq_f32(a.v, b.v); }
  // p * 2^n for p * 2^n in the normal range: the low bits of `biased` = n + 1.5*2^23 hold n.
  friend Vec scale_by_power_of_two(Vec p, Vec biased) {
    const int32x4_t exponent = vshlq_n_s32(vreinterpretq_s32_f32(biased.v), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p.v), exponent));
  }

  // The two bf16 numbers in each 32-bit lane, as float32.
  friend Vec bf16_low(Vec a) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a.v), 16));
  }
  friend Vec bf16_high(Vec a) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), vdupq_n_u32(0xffff0000u)));
  }

  // Row k of the block becomes column k.
  friend void transpose(Vec (&block)[4]) {
    const float32x4x2_t a = vtrnq_f32(block[0].v, block[1].v);
    const float32x4x2_t b = vtrnq_f32(block[2].v, block[3].v);
    block[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    block[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    block[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    block[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
  }
};

// Few numbers fit a shorter register, which would be no faster here.
using HalfVec = Vec;

// What the kernels hold in registers: 4 * units sums for each of `vectors` groups of columns.
struct Registers {
  static constexpr int units = 2,
                       vectors = 3;  // 24 sums + 3 columns + 1 weight = 28 of 32 registers
  // Where gradients of weights are added up: sums, and groups of columns beside them.
  static constexpr int product_sums = 24, product_vectors = 4;
};

}  // namespace
