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

namespace {

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
          &absolute_error_row};
}

}  // namespace
