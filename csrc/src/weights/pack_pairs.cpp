#include "weights/pack_pairs.h"

#include <vector>

#include "weights/scaled_rows.h"
#include "weights/weight_source.h"

namespace slidecell {
namespace {

// The parts of a float32 number, each the bf16 number nearest to what the parts before it left.
std::uint32_t take_part(float& rest) {
  const std::uint32_t part = bf16(rest);
  rest -= rounded_to_bf16(rest);
  return part;
}

PackedPairs pack_pairs(const WeightSource& s, std::int64_t block_rows, std::int64_t chunk,
                       std::int64_t pairs, int parts) {
  const std::int64_t rows = s.units * s.gates();
  PackedPairs packed;
  packed.part = ceil_div(rows, block_rows) * block_rows * pairs;
  packed.words.reset(parts * packed.part);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::uint32_t* block = packed.words.data() + r / block_rows * block_rows * pairs;
    for (std::int64_t k = 0; k < s.depth; ++k) {
      const std::int64_t pair = k / 2;
      std::uint32_t* out =
          block + pair / chunk * chunk * block_rows + r % block_rows * chunk + pair % chunk;
      float rest = s.weight(r / s.gates(), r % s.gates(), k);
      for (int part = 0; part < parts; ++part) {
        out[part * packed.part] |= take_part(rest) << (k % 2 * 16);
      }
    }
  }
  return packed;
}

std::int64_t pairs_of(const MatrixKernels& matrix, std::int64_t size) {
  return round_up(ceil_div(size, 2), matrix.chunk);
}

}  // namespace

PackedMatrixLayer pack_matrix_layer(const KernelTable& kernels, const MatrixKernels& matrix,
                                    int parts, const LayerSpec& spec,
                                    const DirectionWeights& weights) {
  const std::int64_t H = spec.hidden_size;
  const std::vector<float> w_ih = scaled_rows(spec, weights.w_ih, spec.input_size);
  const std::vector<float> w_hh = scaled_rows(spec, weights.w_hh, H);
  const std::vector<float> b_ih = scaled_rows(spec, weights.b_ih, 1);
  const std::vector<float> b_hh = scaled_rows(spec, weights.b_hh, 1);
  const DirectionWeights own{w_ih, w_hh, b_ih, b_hh, {}};

  PackedMatrixLayer packed;
  packed.input_words = pairs_of(matrix, spec.input_size);
  packed.state_words = pairs_of(matrix, H);
  packed.input.emplace_back();
  packed.input.front().input = pack_input(kernels, spec, own);
  const std::vector<float> bias = input_bias(spec, own);
  const WeightSource input = input_source(spec, own, bias);
  packed.input_pairs =
      pack_pairs(input, matrix.block_rows, matrix.chunk, packed.input_words, parts);
  packed.bias.reset(H * spec.gates());
  for (std::int64_t r = 0; r < H * spec.gates(); ++r) {
    packed.bias.data()[r] = input.bias_of(r / spec.gates(), r % spec.gates());
  }

  packed.form = form_of(spec);
  const auto recurrent_pairs = [&](const GateProduct& product) {
    const std::int64_t gates = product.count;
    return pack_pairs(recurrent_source(spec, own, product), gates * matrix.block_units[gates],
                      matrix.chunk, packed.state_words, parts);
  };
  const CellTraits& traits = traits_of(spec);
  packed.recurrent = recurrent_pairs(traits.of_h);
  if (traits.late.count > 0) packed.late = recurrent_pairs(traits.late);
  packed.b_hh = separate_bias(spec, own.b_hh, H);
  return packed;
}

}  // namespace slidecell
