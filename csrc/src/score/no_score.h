// What stands where a row has no score.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cpu/parallel.h"
#include "weights/pack.h"

namespace slidecell {

constexpr float kNoScore = std::numeric_limits<float>::quiet_NaN();

inline void fill_with_nan(float* out, std::int64_t size, int num_threads) {
  constexpr std::int64_t kChunk = std::int64_t{1} << 20;
  parallel_for(
      ceil_div(size, kChunk), num_threads, [] { return 0; },
      [&](int, std::int64_t i) {
        std::fill(out + i * kChunk, out + std::min(size, (i + 1) * kChunk), kNoScore);
      });
}

}  // namespace slidecell
