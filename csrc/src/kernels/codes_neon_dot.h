// Products of codes by SDOT.
#pragma once

#include "kernels/sums_neon.h"

namespace {

inline Sums dot(Codes w, Codes x, Sums acc) { return {vdotq_s32(acc.v, w.v, x.v)}; }

struct LowRegisters {
  static constexpr int rows = 8, vectors = 3;  // 24 sums + 3 columns + 1 weight
};

}  // namespace
