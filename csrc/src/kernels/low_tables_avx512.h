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

// x, or the nearer one of limit and -limit. A NaN stays one in `within`; `within_or_limit` makes it
// a limit, which takes half as many instructions.
template <int n>
inline __attribute__((always_inline)) Vecs<n> within(float limit, const Vecs<n>& x) {
  return max(Vecs<n>(-limit), min(Vecs<n>(limit), x));
}
template <int n>
inline __attribute__((always_inline)) Vecs<n> within_or_limit(float limit, const Vecs<n>& x) {
  constexpr int kNearerZeroSignOfFirst = 0x2;
  const Vec most(limit);
  return Vecs<n>::each(
      [most](Vec y) { return Vec(_mm512_range_ps(y.v, most.v, kNearerZeroSignOfFirst)); }, x);
}

// The function of `pieces` at x within its limit.
template <int n>
inline __attribute__((always_inline)) Vecs<n> in_pieces(const Pieces& pieces, const Vecs<n>& x) {
  const Vecs<n> biased = fma(x, Vecs<n>(pieces.per_unit), Vecs<n>(kCodeRound));
  return Vecs<n>::each(
      [&pieces](Vec y, Vec number) {
        const __m512i at = _mm512_castps_si512(number.v);
        const Vec slope = fma(pick(pieces.square, at), y, pick(pieces.linear, at));
        return fma(slope, y, pick(pieces.constant, at));
      },
      x, biased);
}

// tanh, of which a NaN stays one.
template <int n>
inline __attribute__((always_inline)) Vecs<n> tanh_in_pieces(const Pieces& pieces,
                                                             const Vecs<n>& x) {
  return in_pieces(pieces, within(pieces.limit, x));
}
// A sigmoid, which is a number in any case: an input that is a NaN makes the candidate one, too.
template <int n>
inline __attribute__((always_inline)) Vecs<n> sigmoid_in_pieces(const Vecs<n>& x) {
  return in_pieces(kSigmoidPieces, within_or_limit(kSigmoidPieces.limit, x));
}
inline __attribute__((always_inline)) Vec tanh_in_pieces(const Pieces& pieces, Vec x) {
  return tanh_in_pieces(pieces, Vecs<1>::of({x})).v[0];
}
inline __attribute__((always_inline)) Vec sigmoid_in_pieces(Vec x) {
  return sigmoid_in_pieces(Vecs<1>::of({x})).v[0];
}

// coarse: the gates that say how much of a state stays err like all others.
template <bool coarse>
struct LowActivations {
  template <class V>
  static inline __attribute__((always_inline)) V gate(V x) {
    return sigmoid_in_pieces(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V memory_gate(V x) {
    if constexpr (coarse) return gate(x);
    return scaled_sigmoid<Grade::fine>(x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V candidate(V x) {
    return tanh_in_pieces(kScaledTanhPieces, x);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_candidate(V a, V b) {
    return gate(a) * candidate(b);
  }
  template <class V>
  static inline __attribute__((always_inline)) V gate_times_output(V o, V c) {
    return gate(o) * tanh_in_pieces(kTanhPieces, c);
  }
  template <class Run>
  static inline __attribute__((always_inline)) auto in_one(Run run) {
    return run(LowActivations<coarse>{});
  }
};

}  // namespace
