// What the formulas of a cell see of hidden units in the row orientation.
#pragma once

#include "kernels/cell_unit-inl.h"

namespace {

// Calls run(first unit, live lanes, panel) for every panel of a layer.
template <class Run>
inline void for_panels(std::int64_t hidden, Run run) {
  for (std::int64_t j = 0; j < hidden; j += Vec::lanes) {
    run(j, hidden - j < Vec::lanes ? hidden - j : static_cast<std::int64_t>(Vec::lanes));
  }
}

// Hidden units j .. j+live-1, as ColumnsUnit has one unit.
template <class Cell, Half half>
struct RowUnit {
  using V = Vec;

  const slidecell::CellRow& a;
  std::int64_t j, live;

  bool started() const { return a.sums != nullptr; }
  Vec sum(int gate) const {
    constexpr slidecell::GateProduct product = Product<Cell, half>::gates;
    return started() ? Vec::load(a.sums + product.count * j + (gate - product.first) * Vec::lanes)
                     : Vec(0.0f);
  }
  Vec x(int gate) const {
    return Vec::load(a.p + Form<Cell>::traits.gates * j + gate * Vec::lanes);
  }
  Vec gate(int g) const { return sum(g) + x(g); }
  Vec bias() const { return Vec::load(a.b_hh + j); }
  Vec h() const { return started() ? Vec::load(a.h + j, live) : Vec(0.0f); }
  Vec c() const { return started() ? Vec::load(a.c + j, live) : Vec(0.0f); }
  void keep(Vec value) const { value.store(a.scratch + j); }
  Vec kept() const { return Vec::load(a.scratch + j); }
};

}  // namespace
