// The code of one number of h: see low_table.h.
#pragma once

#include <cstdint>

namespace {

// 1.5 * 2^23: the low bits of the sum with it hold a small whole number, rounded to nearest even.
constexpr float kCodeRound = 12582912.0f;

// round(127 h) in the low bits; a NaN counts as -1. The product is rounded once, as a fused
// multiply-add does it.
inline std::uint32_t code_of(float h) {
  h = h > -1.0f ? h : -1.0f;
  h = h < 1.0f ? h : 1.0f;
#if defined(__FMA__) || defined(__aarch64__)
  const float biased = __builtin_fmaf(h, 127.0f, kCodeRound);
  std::uint32_t bits;
#else
  const double biased = static_cast<double>(h) * 127.0 + 6755399441055744.0;  // 1.5 * 2^52
  std::uint64_t bits;
#endif
  __builtin_memcpy(&bits, &biased, sizeof bits);
  return static_cast<std::uint32_t>(bits);
}

}  // namespace
