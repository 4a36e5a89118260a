// What the formulas of a cell see of a unit, and the two halves of a step around them.
#pragma once

#include "kernels/cell_traits.h"
#include "kernels/kernel_table.h"
#include "kernels/low_table.h"
#include "kernels/vecs-inl.h"

namespace {

// The half of a step: what follows the first product where a second one waits for it, and what
// follows the last product.
enum class Half { first, last };

template <class Cell>
struct Form {
  static_assert(static_cast<std::size_t>(Cell::form) < slidecell::kCellForms);
  static constexpr slidecell::CellTraits traits = slidecell::traits_of(Cell::form);
  static constexpr bool has_late = traits.late.count > 0;
};

template <class Cell, Half half>
struct Product {
  static constexpr bool late = half == Half::last && Form<Cell>::has_late;
  static constexpr slidecell::GateProduct gates =
      late ? Form<Cell>::traits.late : Form<Cell>::traits.of_h;
};

inline bool has_state(const slidecell::StepColumns& a) { return a.h != nullptr; }
inline bool has_state(const slidecell::LowStep& a) { return a.h != nullptr; }
inline bool has_state(const slidecell::MatrixStep& a) { return a.h_pairs != nullptr; }

// One hidden unit in n groups of columns. sum_of(i) gives the recurrent sums of the product's gate
// number i.
template <class Cell, Half half, int n, class Arguments, class Sum>
struct ColumnsUnit {
  using V = Vecs<n>;

  const Arguments& a;
  const Sum& sum_of;
  std::int64_t unit;
  std::ptrdiff_t at;        // of the unit in h and c
  const float* p;           // its projected input
  const std::int32_t* col;  // [n]

  inline __attribute__((always_inline)) ColumnsUnit(const Arguments& args, std::int64_t j,
                                                    std::int64_t v0, const Sum& sum)
      : a(args),
        sum_of(sum),
        unit(j),
        at(j * args.stride + v0 * Vec::lanes),
        p(args.p + Form<Cell>::traits.gates * j * args.p_stride),
        col(args.p_col + v0) {}

  inline __attribute__((always_inline)) bool started() const { return has_state(a); }
  inline __attribute__((always_inline)) V sum(int gate) const {
    return sum_of(gate - Product<Cell, half>::gates.first);
  }
  inline __attribute__((always_inline)) V x(int gate) const {
    return V::load(p + gate * a.p_stride, col);
  }
  inline __attribute__((always_inline)) V gate(int g) const { return sum(g) + x(g); }
  inline __attribute__((always_inline)) V bias() const { return V(a.b_hh[unit]); }
  inline __attribute__((always_inline)) V h() const {
    return started() ? V::load(a.h + at) : V(0.0f);
  }
  inline __attribute__((always_inline)) V c() const {
    return started() ? V::load(a.c + at) : V(0.0f);
  }
  // From the first half of a step to the last one.
  inline __attribute__((always_inline)) void keep(V value) const { value.store(a.scratch + at); }
  inline __attribute__((always_inline)) V kept() const { return V::load(a.scratch + at); }
};

// Runs a half of a step on one unit and stores the states; returns h, or in the first half what the
// late product multiplies.
template <class Cell, Half half, class Activations, class Unit>
inline __attribute__((always_inline)) typename Unit::V run_unit(const Activations& act,
                                                                const Unit& unit) {
  using V = typename Unit::V;
  if constexpr (half == Half::first) {
    return Cell::first(act, unit);
  } else {
    V c;
    const V h = Cell::last(act, unit, c);
    if constexpr (Form<Cell>::traits.has_c) c.store(unit.a.c + unit.at);
    h.store(unit.a.h_out + unit.at);
    return h;
  }
}

}  // namespace
