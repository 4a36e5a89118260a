// How exact recurrent products are.
#pragma once

#include <cstdint>

namespace slidecell {

// low: recurrent products of 8-bit codes and input weights of bf16, on every CPU, for models whose
// layers activate by tanh or sigmoid, have no projection and at most 2^17 units; scores and streams
// have the same bits. Other models run as medium.
enum class Precision : std::uint8_t { highest, high, medium, low };

}  // namespace slidecell
