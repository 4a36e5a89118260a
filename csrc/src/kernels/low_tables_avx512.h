// Activations of 8-bit products: 31 pieces of the second degree, whose coefficients two registers
// hold and one instruction picks. They err by up to 2.6e-4, where a code of h errs by 4e-3. The
// gates that say how much of a state stays are good to float32: their errors would compound.
#pragma once

#include "kernels/vec_avx512.h"

namespace {

inline Vec reciprocal_estimate(Vec b) { return _mm512_rcp14_ps(b.v); }

}  // namespace

#include "kernels/code-inl.h"
#include "kernels/pieces.h"
#include "kernels/scaled-inl.h"

namespace {

inline Vec pick(const float (&table)[32], __m512i at) {
  return _mm512_permutex2var_ps(_mm512_load_ps(table), at, _mm512_load_ps(table + 16));
}

// The function of `pieces` at x; a NaN stays one.
template <int n>
inline __attribute__((always_inline)) Vecs<n> in_pieces(const Pieces& pieces, Vecs<n> x) {
  const Vecs<n> limit(pieces.limit);
  x = max(Vecs<n>(-pieces.limit), min(limit, x));
  const Vecs<n> biased = fma(x, Vecs<n>(pieces.per_unit), Vecs<n>(kCodeRound));
  return Vecs<n>::each(
      [&pieces](Vec y, Vec number) {
        const __m512i at = _mm512_castps_si512(number.v);
        const Vec slope = fma(pick(pieces.square, at), y, pick(pieces.linear, at));
        return fma(slope, y, pick(pieces.constant, at));
      },
      x, biased);
}
inline __attribute__((always_inline)) Vec in_pieces(const Pieces& pieces, Vec x) {
  return in_pieces<1>(pieces, Vecs<1>::of({x})).v[0];
}

// coarse: the gates that say how much of a state stays err like all others.
template <bool coarse>
struct LowActivations {
  template <class V>
  static inline __attribute__((always_inline)) V gate(V x) {
    return in_pieces(kSigmoidPieces, x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V memory_gate(V x) {
    if constexpr (coarse) return gate(x);
    return scaled_sigmoid<Grade::fine>(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V candidate(V x) {
    return in_pieces(kScaledTanhPieces, x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_candidate(V a, V b) {
    return gate(a) * candidate(b);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_output(V o, V c) {
    return gate(o) * in_pieces(kTanhPieces, c);
  }
  template <class Run>
  static inline __attribute__((always_inline)) auto in_one(Run run) {
    return run(LowActivations<coarse>{});
  }
};

}  // namespace
