// Random models of a few hundred bytes, and what an accepted model is put through.
#pragma once

#include <cstdint>
#include <random>

#include "models.h"
#include "slidecell/model.hpp"

namespace slidecell::fuzz {

// Any cell and shape; the number decides.
test::ModelSpec small_spec(std::uint32_t number);
ModelFile small_file(std::uint32_t number);

// Scores, predicts, encodes, streams and watches a short series with holes, and holds the stream
// against the scores. `weights` is the number of floats in the model: what would cost more than the
// budget of one input is left out. Returns whether it ran. Aborts on a wrong score.
bool run_model(const SequenceModel& model, std::size_t weights, std::uint32_t seed);

}  // namespace slidecell::fuzz
