// What a step of the network costs, counted in instructions rather than timed: `flag` chooses its
// first pass by these counts, so that it chooses the same one every time.
#pragma once

#include "model/model_parts.h"
#include "score/choose_kernel.h"

namespace slidecell {

// A step of `choice` beside one of an exact window, which `exact` computes. chain: of a carried
// state, which projects each row and predicts at each step; a window shares the projections of its
// neighbours and predicts once.
double step_cost(const ModelParts& model, const KernelChoice& choice, const KernelChoice& exact,
                 bool chain);

}  // namespace slidecell
