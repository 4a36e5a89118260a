// What a cell is, once for all kernels. python/slidecell/cuda/cell_traits.py has the same numbers
// for packing and planning; a test compares them.
//
// A cell is computed in one pass, or in two where the products of its last gates wait for the
// others. A kernel hands each unit's sums to the cell's formula:
//   sums [gates of the pass]   of the products with the input and with h, and of the biases;
//                              of a gate that stays apart, the part of the input alone
//   then [kApart]              of the gates that stay apart, the part of h with a bias of its own
#pragma once

#include "arguments.cuh"

namespace slidecell {

// What a unit's formula needs of the unit itself as it was one step before.
enum class Carries { kNothing, kHidden, kCellState };

// Gates i f g o.
struct LstmTraits {
  static constexpr Cell kCell = kLstm;
  static constexpr int kGates = 4;
  static constexpr int kWaiting = 0;  // of the last gates
  static constexpr int kApart = 0;    // of the last gates
  static constexpr Carries kCarries = Carries::kCellState;

  // Returns h; `state` is what the cell carries, before and after the step.
  template <class Act>
  static __device__ __forceinline__ float step(const Act& act, const float (&sums)[4],
                                               float& state) {
    return act.lstm(sums[0], sums[1], sums[2], sums[3], state);
  }
};

// Gates r z n, with n = act(W_in x + b_in + r (W_hn h + b_hn)).
struct GruResetAfterTraits {
  static constexpr Cell kCell = kGruResetAfter;
  static constexpr int kGates = 3, kWaiting = 0, kApart = 1;
  static constexpr Carries kCarries = Carries::kHidden;

  template <class Act>
  static __device__ __forceinline__ float step(const Act& act, const float (&sums)[4],
                                               float& state) {
    const float r = act.gate(sums[0]);
    const float n = act.candidate(fma(r, sums[3], sums[2]));
    return state = act.gru(sums[1], n, state);
  }
};

// Gates r z n, with n = act(W_in x + b + W_hn (r h)): its product waits for r h of all units.
struct GruResetBeforeTraits {
  static constexpr Cell kCell = kGruResetBefore;
  static constexpr int kGates = 3, kWaiting = 1, kApart = 0;
  static constexpr Carries kCarries = Carries::kHidden;

  // First pass: what the second one still needs of the unit, and what its product is with.
  static __device__ __forceinline__ float held(const float (&sums)[2]) { return sums[1]; }
  template <class Act>
  static __device__ __forceinline__ float gated(const Act& act, const float (&sums)[2],
                                                float state) {
    return act.gate(sums[0]) * state;
  }
  // Second pass: as `step` of a cell of one pass.
  template <class Act>
  static __device__ __forceinline__ float step(const Act& act, const float (&sums)[1], float held,
                                               float& state) {
    return state = act.gru(held, act.candidate(sums[0]), state);
  }
};

// One gate: h = act(W_ih x + b + W_hh h).
struct RnnTraits {
  static constexpr Cell kCell = kRnn;
  static constexpr int kGates = 1, kWaiting = 0, kApart = 0;
  static constexpr Carries kCarries = Carries::kNothing;

  template <class Act>
  static __device__ __forceinline__ float step(const Act& act, const float (&sums)[1],
                                               float& /*state*/) {
    return act.candidate(sums[0]);
  }
};

template <class... All>
struct CellList {
  // Traits in the order of `enum Cell`, one for each.
  static __device__ constexpr bool complete() {
    int next = 0;
    return ((static_cast<int>(All::kCell) == next++) && ...) && next == kCellCount;
  }
};
using Cells = CellList<LstmTraits, GruResetAfterTraits, GruResetBeforeTraits, RnnTraits>;
static_assert(Cells::complete(), "a cell has no traits, or not where enum Cell has it");

template <int kCompiled, class Traits, class Run>
__device__ __forceinline__ void run_if_cell(int cell, Run& run) {
  if constexpr ((kCompiled & 1 << Traits::kCell) != 0) {
    if (cell == Traits::kCell) run(Traits());
  }
}
template <int kCompiled, class Run, class... All>
__device__ __forceinline__ void with_traits(CellList<All...>, int cell, Run run) {
  (run_if_cell<kCompiled, All>(cell, run), ...);
}
// Calls run(traits) with those of a layer's cell, and has no code for cells that are not among
// kCompiled, a bit for each.
template <int kCompiled, class Run>
__device__ __forceinline__ void with_traits(int cell, Run run) {
  with_traits<kCompiled>(Cells(), cell, run);
}

template <class... All>
__device__ __forceinline__ bool carries_cell_state(CellList<All...>, int cell) {
  return ((All::kCarries == Carries::kCellState && cell == All::kCell) || ...);
}
// Whether a cell has a state c beside h.
__device__ __forceinline__ bool carries_cell_state(int cell) {
  return carries_cell_state(Cells(), cell);
}

}  // namespace slidecell
