// Weights as bf16 pairs in the layout of one kind of matrix kernels, and the scaled float32 input
// weights and biases that go with them (see kernels/matrix_table.h).
#pragma once

#include <cstdint>

#include "kernels/matrix_table.h"
#include "weights/pack.h"

namespace slidecell {

struct PackedPairs {
  AlignedWords words;  // [parts][blocks][pairs / chunk][rows of a block][chunk]
  std::ptrdiff_t part = 0;
  MatrixWeights view() const { return {words.data(), part}; }
};

// A unidirectional layer of the usual cell, without a projection of h.
struct PackedMatrixLayer {
  PackedLayer input;        // float32, scaled; of the layer's one direction only `input` is filled
  PackedPairs input_pairs;  // scaled
  AlignedFloats bias;       // scaled [G*H], as in `input`
  CellForm form = CellForm::lstm;
  PackedPairs recurrent, late;   // scaled; late: empty where there is no such product
  AlignedFloats b_hh;            // scaled [H]: the separate recurrent bias
  std::int64_t input_words = 0;  // pairs of the input and of h, multiples of the chunk
  std::int64_t state_words = 0;
};

PackedMatrixLayer pack_matrix_layer(const KernelTable& kernels, const MatrixKernels& matrix,
                                    int parts, const LayerSpec& spec,
                                    const DirectionWeights& weights);

}  // namespace slidecell
