// Products of codes by every AArch64 processor: bytes to 16 bits, then to 32.
#pragma once

#include "kernels/sums_neon.h"

namespace {

// Of the four products of a lane, two lie in `low` or in `high`.
inline Sums dot(Codes w, Codes x, Sums acc) {
  const int16x8_t low = vmull_s8(vget_low_s8(w.v), vget_low_s8(x.v));
  const int16x8_t high = vmull_high_s8(w.v, x.v);
  return {vaddq_s32(acc.v, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))};
}

struct LowRegisters {
  static constexpr int rows = 8, vectors = 2;
};

}  // namespace
