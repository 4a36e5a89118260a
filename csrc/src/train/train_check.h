// What both passes of training ask of their arguments.
#pragma once

#include "slidecell/training.hpp"

namespace slidecell {

// Throws std::invalid_argument.
void check_training(const LayerSpec& spec, const DirectionWeights& weights,
                    const TrainingInput& input);

}  // namespace slidecell
