// Cells and layers as the kernels know them.
#pragma once

#include "kernels/cell_traits.h"
#include "slidecell/layer.hpp"

namespace slidecell {

CellForm form_of(const LayerSpec& spec);

const CellTraits& traits_of(const LayerSpec& spec);

// "an LSTM", "a GRU": for texts.
const char* title_of(Cell cell);

}  // namespace slidecell
