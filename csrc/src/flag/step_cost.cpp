#include "flag/step_cost.h"

#include <cstring>

#include "cpu/vendor.h"
#include "kernels/low_table.h"
#include "kernels/matrix_table.h"

namespace slidecell {
namespace {

// Of one row of a gate, on a vector of windows; a fused multiply-add counts one.
struct RowCost {
  double product;   // with one recurrent weight
  double activate;  // what follows the products
};

constexpr RowCost kFused = {1, 30};

// All numbers are fitted to runs of LSTM and GRU of 8 to 128 units with 2 to 38 columns on one Xeon
// with AVX-512, and those of AVX2 and scalar codes there too: mostly within a tenth.
RowCost codes_cost(const LowKernels& low) {
  const auto is = [&](const char* name) { return std::strcmp(low.name, name) == 0; };
  if (is("plain")) return {2.5, 50};
  // Numbers of 16 bits.
  if (is("vpmaddwd") || is("smull")) return {0.75, 50};
  return {0.25, 25};
}

// A number of n bf16 parts takes n (n + 1) / 2 products.
RowCost parts_cost(const MatrixKernels& matrix, int parts) {
  const double products = parts * (parts + 1) / 2.0;
  // A tile's instruction takes the time of 16 for 512 products of 16 columns. No CPU with tiles has
  // confirmed it.
  if (matrix.has_tiles) return {products / 16, 20};
  // Two products an instruction.
  return {has_fast_bf16_dots() ? products / 2 : 2 * products, 20};
}

RowCost row_cost(const KernelChoice& choice) {
  if (choice.products != Products::float32) return codes_cost(*choice.kernels->low);
  return choice.parts == 0 ? kFused : parts_cost(*choice.kernels->matrix, choice.parts);
}

double instructions(const ModelParts& model, const KernelChoice& choice, bool chain) {
  const RowCost cost = row_cost(choice);
  double count = 0;
  for (const Stack* stack : {model.encoder.get(), model.decoder.get()}) {
    if (!stack) continue;
    bool bottom = true;
    for (const LayerSpec& spec : stack->specs()) {
      double row = static_cast<double>(spec.state_size()) * cost.product + cost.activate;
      if (chain || !bottom) row += static_cast<double>(spec.input_size);
      count += row * static_cast<double>(spec.gates() * spec.hidden_size) *
               (spec.bidirectional ? 2.0 : 1.0);
      bottom = false;
    }
  }
  if (!chain) return count;
  // Rows of each lane are loaded and its score is written by itself.
  const double lane = 70 + 7 * static_cast<double>(model.input_size());
  return count + static_cast<double>(choice.kernels->lanes) * lane +
         static_cast<double>(model.head->rows() * model.encoder->output_size());
}

}  // namespace

double step_cost(const ModelParts& model, const KernelChoice& choice, const KernelChoice& exact,
                 bool chain) {
  return instructions(model, choice, chain) / instructions(model, exact, false);
}

}  // namespace slidecell
