// All cells that have kernels, by their formulas.
#pragma once

#include "kernels/gru-inl.h"
#include "kernels/lstm-inl.h"
#include "kernels/rnn-inl.h"

namespace {

template <class... Cells>
struct CellList {
  // Calls run(Cell{}) for every one.
  template <class Run>
  static constexpr void each(Run run) {
    (run(Cells{}), ...);
  }
};

using AllCells = CellList<Lstm, Gru, GruResetBefore, Rnn>;

}  // namespace
