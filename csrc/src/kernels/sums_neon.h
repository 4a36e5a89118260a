// Four int32 sums in a NEON register, and four codes in each lane.
#pragma once

#include "kernels/code-inl.h"
#include "kernels/vec_neon.h"

namespace {

inline Vec reciprocal_estimate(Vec b) { return quotient(Vec(1.0f), b); }

}  // namespace

#include "kernels/scaled-inl.h"

namespace {

struct Sums {
  int32x4_t v;

  static Sums all(std::int32_t x) { return {vdupq_n_s32(x)}; }
  static Sums load(const std::int32_t* p) { return {vld1q_s32(p)}; }
  void store(std::int32_t* p) const { vst1q_s32(p, v); }
  Vec floats() const { return vcvtq_f32_s32(v); }
};

struct Codes {
  static constexpr int per_word = 4, offset = 0;
  using Code = std::int8_t;
  int8x16_t v;

  static Codes load(const void* p) { return {vld1q_s8(static_cast<const std::int8_t*>(p))}; }
  static Codes all(std::uint32_t word) { return {vreinterpretq_s8_u32(vdupq_n_u32(word))}; }
  void store(float* p) const { vst1q_s8(reinterpret_cast<std::int8_t*>(p), v); }
  static Codes of(const Vec (&h)[4]) {
    uint32x4_t word = vsliq_n_u32(biased(h[0]), biased(h[1]), 8);
    word = vsliq_n_u32(word, biased(h[2]), 16);
    return {vreinterpretq_s8_u32(vsliq_n_u32(word, biased(h[3]), 24))};
  }

  friend Sums dot(Codes w, Codes x, Sums acc);

 private:
  // vmaxnmq gives the number beside a NaN.
  static uint32x4_t biased(Vec h) {
    const float32x4_t inside = vminq_f32(vmaxnmq_f32(h.v, vdupq_n_f32(-1.0f)), vdupq_n_f32(1.0f));
    return vreinterpretq_u32_f32(fma(Vec(inside), Vec(127.0f), Vec(kCodeRound)).v);
  }
};

template <bool coarse>
using LowActivations = ScaledActivations<Grade::fine>;

}  // namespace
