// All kernels of one ISA. An isa_<x>.cpp includes its vec_<x>.h, then this file, and exports the
// table that make_kernels() fills.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/product-inl.h"
//
#include "kernels/error-inl.h"
#include "kernels/gru-inl.h"
#include "kernels/lstm-inl.h"
#include "kernels/project-inl.h"
#include "kernels/row-inl.h"
//
#include "kernels/train-inl.h"
//
#include "kernels/backward-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/weight-gradient-inl.h"

namespace {

// As many sums as the steps hold in registers. With 16 registers, 12 sums leave room for 3 columns.
template <int units, int vectors>
constexpr slidecell::TrainKernels make_train_kernels() {
  constexpr int sums = 4 * units * vectors;
  static_assert(slidecell::kTrainTile % (vectors * Vec::lanes) == 0, "whole groups of columns");
  return {sums,
          &lstm_train_step<units, vectors>,
          &gru_train_step<units, vectors>,
          &lstm_backward_step<4 * units, vectors>,
          &gru_backward_step<4 * units, vectors>,
          &add_products < sums,
          sums == 12 ? 3 : 4 >,
          &transpose_columns};
}

// `units` hidden units times `vectors` groups of columns are held in registers.
template <int units, int vectors>
constexpr slidecell::KernelTable make_kernels(const char* isa) {
  return {isa,
          Vec::lanes,
          units,
          vectors,
          &project_columns<4 * units, vectors>,
          &lstm_step_columns<units, vectors>,
          &gru_step_columns<units, vectors>,
          &gru_step_columns_reset_before<units, vectors>,
          &add_squared_error_columns,
          &add_absolute_error_columns,
          &subtract_columns,
          &project_row,
          &lstm_cell_row,
          &gru_cell_row,
          &gru_reset_row,
          &gru_candidate_row,
          &squared_error_row,
          &absolute_error_row,
          make_train_kernels<units, vectors>()};
}

}  // namespace
