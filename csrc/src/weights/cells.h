// Cells and layers as the kernels know them.
#pragma once

#include "kernels/cell_traits.h"
#include "slidecell/layer.hpp"

namespace slidecell {

CellForm form_of(const LayerSpec& spec);

const CellTraits& traits_of(const LayerSpec& spec);

}  // namespace slidecell
