// Four codes in each lane of a zmm register and in each word of a tile, all with their signs:
// tdpbssd, which wraps around.
#pragma once

#include "kernels/sums_avx512.h"

namespace {

struct Codes {
  static constexpr int per_word = 4, offset = 0;
  __m512i v;

  void store(float* p) const { _mm512_storeu_si512(p, v); }
  static Codes of(const Vec (&h)[4]) { return {byte_codes<offset>(h)}; }
};

}  // namespace
