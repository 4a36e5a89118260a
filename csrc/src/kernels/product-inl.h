// The inner products of the column orientation: `rows` weights times `vectors` groups of columns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// acc[first + r][v] += sum over k ascending of w[k][r] x[k][v], held in registers throughout.
template <int rows, int vectors, int first = 0, int all>
inline __attribute__((always_inline)) void accumulate(const float* __restrict w,  // [depth][rows]
                                                      const float* __restrict x,  // [depth][stride]
                                                      std::ptrdiff_t stride, std::int64_t depth,
                                                      Vec (&acc)[all][vectors]) {
  for (std::int64_t k = 0; k < depth; ++k, w += rows, x += stride) {
    Vec column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = Vec::load(x + v * Vec::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Vec weight(w[r]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        acc[first + r][v] = fma(weight, column[v], acc[first + r][v]);
      }
    }
  }
}

template <int rows, int vectors>
inline __attribute__((always_inline)) void clear(Vec (&acc)[rows][vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec(0.0f);
  }
}

// Calls run(first, Count<vectors>) for groups of `most` vectors, then one by one.
template <int n>
struct Count {
  static constexpr int value = n;
};
template <int most, class Run>
inline void for_vectors(std::int64_t vectors, Run run) {
  std::int64_t v = 0;
  for (; v + most <= vectors; v += most) run(v, Count<most>{});
  for (; v < vectors; ++v) run(v, Count<1>{});
}

}  // namespace
