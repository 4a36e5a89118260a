// The kernels of 8-bit products that are added up in vector registers, in both orientations.
#pragma once

#include "kernels/activations-inl.h"
//
#include "kernels/low_cells-inl.h"
#include "kernels/panels-inl.h"
#include "kernels/row_unit-inl.h"

namespace {

using slidecell::LowCellRow;

// acc[r][v] = the sums of a block of rows. w: [words][rows].
template <int rows, int vectors>
inline __attribute__((always_inline)) void sum_codes(LowWeights w, const float* x,  // group v0
                                                     std::ptrdiff_t stride, std::int64_t words,
                                                     Sums (&acc)[rows][vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Sums::all(w.start[r]);
  }
  for (std::int64_t k = 0; k < words; ++k, w.words += rows, x += stride) {
    Codes column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = Codes::load(x + v * Vec::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Codes weight = Codes::all(w.words[r]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v] = dot(weight, column[v], acc[r][v]);
    }
  }
}

template <class Cell, Half half, int units, int vectors, class Activations>
inline void low_block(const LowStep& a, LowWeights w, std::int64_t words, std::int64_t j,
                      std::int64_t v0, const Activations& act) {
  constexpr int gates = Product<Cell, half>::gates.count, rows = gates * units;
  Vec acc[rows][vectors];
  if (a.h) {
    Sums sums[rows][vectors];
    sum_codes<rows, vectors>(w, a.codes + v0 * Vec::lanes, a.stride, words, sums);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v] = sums[r][v].floats();
    }
  } else {
    clear(acc);
  }
#pragma GCC unroll 8
  for (int u = 0; u < units; ++u) {
    if (j + u >= a.hidden) break;
    const auto sum = [&acc, u](int g) __attribute__((always_inline)) {
      return Vecs<vectors>::of(acc[gates * u + g]);
    };
    low_unit<Cell, half, vectors>(a, j + u, v0, sum, w.scale + gates * u, act);
  }
}

// Products of blocks of `rows` rows, of up to `most_vectors` groups of columns at once.
template <int rows, int most_vectors>
struct RegisterBlocks {
  template <class Cell, Half half, class Activations>
  static inline void run(const LowStep& a, LowWeights w, const Activations& act) {
    constexpr int gates = Product<Cell, half>::gates.count, units = rows / gates;
    const std::int64_t words = words_of(a.hidden);
    for (std::int64_t j = 0; j < a.hidden; j += units) {
      for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
        low_block<Cell, half, units, decltype(count)::value>(a, w, words, j, v, act);
      });
      w.words += words * gates * units;
      w.start += gates * units;
      w.scale += gates * units;
    }
  }
};

template <class Cell, int rows, int vectors>
void low_columns(const LowStep& a) {
  if (a.scaled) return low_scaled_step<RegisterBlocks<rows, vectors>, Cell>(a);
  low_step<RegisterBlocks<rows, 1>, Cell>(a,
                                          NamedActivations{a.activation, a.recurrent_activation});
}

template <int rows, int most_vectors>
void low_sums(const slidecell::LowSums& a) {
  code_columns(a.h, a.depth, a.stride, a.vectors, a.codes);
  LowWeights w = a.w;
  const std::int64_t words = words_of(a.depth);
  for (std::int64_t j = 0; j < a.rows; j += rows) {
    for_vectors<most_vectors>(a.vectors, [&](std::int64_t v, auto count) {
      constexpr int n = decltype(count)::value;
      Sums acc[rows][n];
      sum_codes<rows, n>(w, a.codes + v * Vec::lanes, a.stride, words, acc);
      for (int r = 0; r < rows && j + r < a.rows; ++r) {
        for (int i = 0; i < n; ++i)
          acc[r][i].store(a.out + (j + r) * a.stride + (v + i) * Vec::lanes);
      }
    });
    w.words += words * rows;
    w.start += rows;
  }
}

void low_code_row(const float* h, std::int64_t size, float* codes) {
  using Code = Codes::Code;
  char* out = reinterpret_cast<char*>(codes);
  const auto put = [out](std::int64_t unit, std::uint32_t code) {
    const auto stored = static_cast<Code>(code + Codes::offset);
    __builtin_memcpy(out + unit * static_cast<std::int64_t>(sizeof(Code)), &stored, sizeof stored);
  };
  for (std::int64_t unit = 0; unit < size; ++unit) put(unit, code_of(h[unit]));
  for (std::int64_t unit = size; unit < words_of(size) * Codes::per_word; ++unit) put(unit, 0);
}

template <int gates_>
struct CodePanels {
  using Sum = Sums;
  static constexpr int gates = gates_, sums = gates, row = gates * Vec::lanes;

  const slidecell::LowProjectRow& a;

  std::ptrdiff_t panel_stride() const { return a.words * row; }
  const std::uint32_t* weights() const { return a.w.words; }
  std::int64_t depth() const { return a.words; }
  Sums start(std::int64_t q, int g) const {
    return Sums::load(a.w.start + (q * gates + g) * Vec::lanes);
  }
  Codes input(std::int64_t k) const {
    std::uint32_t word;
    __builtin_memcpy(&word, a.codes + k, sizeof word);
    return Codes::all(word);
  }
  static inline __attribute__((always_inline)) void add(const std::uint32_t* w, Codes x,
                                                        Sums (&acc)[sums]) {
#pragma GCC unroll 4
    for (int g = 0; g < gates; ++g) acc[g] = dot(Codes::load(w + g * Vec::lanes), x, acc[g]);
  }
  static Vec result(Sums sum) { return sum.floats(); }
};

void low_project_row(const slidecell::LowProjectRow& a) { multiply_by_gates<CodePanels>(a); }

// As LowUnit, for hidden units j .. j+live-1 of one window.
template <class Cell, Half half>
struct LowRowUnit : RowUnit<Cell, half> {
  using Base = RowUnit<Cell, half>;
  using V = Vec;
  const float* scale;

  Vec sum(int gate) const { return Base::sum(gate) * scale_of(gate); }
  Vec gate(int g) const { return fma(Base::sum(g), scale_of(g), Base::x(g)); }

 private:
  Vec scale_of(int gate) const {
    constexpr slidecell::GateProduct product = Product<Cell, half>::gates;
    return Vec::load(scale + product.count * this->j + (gate - product.first) * Vec::lanes);
  }

 public:
  LowRowUnit(const LowCellRow& cell, std::int64_t first, std::int64_t units)
      : Base{cell, first, units}, scale(cell.scale) {}
};

template <class Cell, Half half, class Activations>
inline void low_cell_units(const LowCellRow& a, const Activations& act) {
  for_panels(a.hidden, [&](std::int64_t j, std::int64_t live) {
    const LowRowUnit<Cell, half> unit(a, j, live);
    if constexpr (half == Half::first) {
      const Vec result = Cell::first(act, unit);
      if (a.sums) result.store(a.h_out + j, live);
    } else {
      Vec c;
      const Vec h = Cell::last(act, unit, c);
      if constexpr (Form<Cell>::traits.has_c) c.store(a.c + j, live);
      h.store(a.h_out + j, live);
    }
  });
}

template <class Cell, Half half>
void low_cell_row(const LowCellRow& a) {
  if (a.scaled) {
    return a.coarse ? low_cell_units<Cell, half>(a, LowActivations<true>{})
                    : low_cell_units<Cell, half>(a, LowActivations<false>{});
  }
  low_cell_units<Cell, half>(a, NamedActivations{a.activation, a.recurrent_activation});
}

template <class Registers, class Cell>
constexpr void add_low_cell(slidecell::LowKernels& kernels) {
  slidecell::LowCellKernels& cell = kernels.cells[Cell::form];
  cell.columns = &low_columns<Cell, Registers::rows, Registers::vectors>;
  cell.row = &low_cell_row<Cell, Half::last>;
  if constexpr (Form<Cell>::has_late) cell.first_row = &low_cell_row<Cell, Half::first>;
}

// Registers: `rows` sums for each of `vectors` groups of columns are held at once.
template <class Registers>
constexpr slidecell::LowKernels make_low_kernels(const char* name) {
  slidecell::LowKernels kernels{};
  kernels.name = name;
  kernels.per_word = Codes::per_word;
  kernels.offset = Codes::offset;
  kernels.chunk = 1;
  kernels.block_rows = Registers::rows;
  kernels.vector_step = Registers::vectors;
  for (int gates = 1; gates <= slidecell::kMaxGates; ++gates) {
    kernels.block_units[gates] = Registers::rows / gates;
  }
  kernels.code_row = &low_code_row;
  kernels.project_row = &low_project_row;
  kernels.sums = &low_sums<Registers::rows, Registers::vectors>;
  AllCells::each([&kernels](auto cell) { add_low_cell<Registers, decltype(cell)>(kernels); });
  return kernels;
}

}  // namespace
