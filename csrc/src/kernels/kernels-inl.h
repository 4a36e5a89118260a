// All kernels of one ISA. An isa_<x>.cpp includes its vec_<x>.h, then this file, and exports the
// table that make_kernels() fills.
#pragma once

#include "kernels/activations-inl.h"
#include "kernels/product-inl.h"
//
#include "kernels/cells-inl.h"
#include "kernels/columns-inl.h"
#include "kernels/error-inl.h"
#include "kernels/head-inl.h"
#include "kernels/low_table.h"
#include "kernels/project-inl.h"
#include "kernels/row-inl.h"
//
#include "kernels/train-inl.h"
//
#include "kernels/backward-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/weight-gradient-inl.h"

namespace {

// The kernels of one form of a cell. Registers (vec_<x>.h) says how much is held in registers.
template <class Registers, class Cell>
constexpr void add_cell(slidecell::KernelTable& table) {
  constexpr int units = Registers::units, rows = 4 * units, vectors = Registers::vectors;
  slidecell::CellKernels& cell = table.cells[Cell::form];
  cell.columns = &step_columns<Cell, rows, vectors>;
  cell.row = &cell_row<Cell, Half::last>;
  if constexpr (Form<Cell>::has_late) cell.first_row = &cell_row<Cell, Half::first>;
  if constexpr (Form<Cell>::traits.tile_gates > 0) {
    slidecell::TrainCellKernels& train = table.train.cells[Cell::form];
    train.forward = &train_step<Cell, units, vectors>;
    train.backward = &backward_step<Cell, rows, vectors>;
  }
}

template <class Registers>
constexpr slidecell::KernelTable make_kernels(const char* isa, const slidecell::LowKernels* low) {
  constexpr int rows = 4 * Registers::units, vectors = Registers::vectors;
  static_assert(slidecell::kTrainTile % (vectors * Vec::lanes) == 0, "whole groups of columns");
  slidecell::KernelTable table{};
  table.isa = isa;
  table.lanes = Vec::lanes;
  table.block_rows = rows;
  for (int gates = 1; gates <= slidecell::kMaxGates; ++gates) {
    table.block_units[gates] = rows / gates;
  }
  table.vector_step = vectors;
  table.project = &project_columns<rows, vectors>;
  table.project_row = &project_row;
  table.project_windows = &project_windows<rows, vectors>;
  table.activate = &activate_columns<vectors>;
  AllCells::each([&table](auto cell) { add_cell<Registers, decltype(cell)>(table); });
  table.add_squared_error = &add_squared_error_columns;
  table.add_absolute_error = &add_absolute_error_columns;
  table.add_gaussian_error = &add_gaussian_error_columns;
  table.add_calibrated_error = &add_calibrated_error_columns;
  table.subtract = &subtract_columns;
  table.squared_error_row = &squared_error_row;
  table.absolute_error_row = &absolute_error_row;
  table.gaussian_error_row = &gaussian_error_row;
  table.calibrated_error_row = &calibrated_error_row;
  table.train.block_units = Registers::units;
  table.train.product_rows = Registers::product_sums;
  table.train.add_products = &add_products<Registers::product_sums, Registers::product_vectors>;
  table.train.transpose = &transpose_columns;
  table.low = low;
  return table;
}

}  // namespace
