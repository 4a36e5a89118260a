#include "score/choose_kernel.h"

#include <algorithm>

#include "cpu/active_kernels.h"
#include "cpu/vendor.h"
#include "layers/matrix_stack.h"
#include "score/option_rules.h"
#include "slidecell/error.hpp"
#include "weights/pack_codes.h"
#include "weights/scaled_rows.h"

namespace slidecell {
namespace {

bool every_layer(const ModelParts& model, bool (*holds)(const LayerSpec&)) {
  for (const Stack* stack : {model.encoder.get(), model.decoder.get()}) {
    if (stack && !std::all_of(stack->specs().begin(), stack->specs().end(), holds)) return false;
  }
  return true;
}

// Whether the rule takes matrix kernels.
bool wanted(const MatrixKernels& matrix, const ModelParts& model, Precision precision) {
  switch (precision) {
    case Precision::medium:
    case Precision::low:
      return matrix.has_tiles || has_fast_bf16_dots();
    case Precision::high:
      return matrix.has_tiles;
    case Precision::highest:
      break;
  }
  return matrix.has_tiles &&
         every_layer(model, [](const LayerSpec& spec) { return spec.hidden_size >= 32; });
}

// Whether the rule takes tiles for products of codes.
bool takes_low_tiles(const KernelTable& kernels, const ModelParts& model) {
  return kernels.low_tiles && every_layer(model, [](const LayerSpec& spec) {
           return has_scaled_rows(spec) && spec.hidden_size >= kLeastLowTileUnits;
         });
}

// Whether matrix kernels run where they can.
bool takes_matrix(Kernel kernel, const MatrixKernels& matrix, const ModelParts& model,
                  Precision precision) {
  switch (kernel) {
    case Kernel::automatic:
      return wanted(matrix, model, precision);
    case Kernel::fma:
      return false;
    case Kernel::matrix:
      break;
  }
  return true;
}

std::string ask_for_tiles(const KernelTable& kernels) {
  return kernels.ask_for_matrix ? kernels.ask_for_matrix() : "";
}

// What serves where the operating system refuses tiles.
KernelChoice choose_without_tiles(const KernelTable& kernels, const ModelParts& model,
                                  Precision precision, Kernel kernel, const std::string& refusal) {
  if (isa_was_named()) {
    throw UnsupportedError(std::string("isa: expected one that this process may use, got '") +
                           kernels.isa + "': " + refusal);
  }
  KernelChoice choice = choose_kernel(*kernels.without_matrix, model, precision, kernel);
  choice.kernel += std::string(" (") + kernels.isa + ": " + refusal + ")";
  return choice;
}

std::string shape(std::int64_t rows, std::int64_t columns) {
  return " " + std::to_string(rows) + "x" + std::to_string(columns);
}

}  // namespace

Products products_of(const ModelParts& model, Precision precision) {
  if (!asks_for_codes(precision) || !every_layer(model, serves_low)) return Products::float32;
  return model.window <= kCoarseSteps ? Products::coarse_codes : Products::codes;
}

KernelChoice choose_kernel(const KernelTable& kernels, const ModelParts& model, Precision precision,
                           Kernel kernel) {
  Products products = products_of(model, precision);
  if (kernel == Kernel::automatic && products != Products::float32) {
    if (takes_low_tiles(kernels, model)) {
      const std::string refusal = ask_for_tiles(kernels);
      if (!refusal.empty()) {
        return choose_without_tiles(kernels, model, precision, kernel, refusal);
      }
      products = put_on_tiles(products);
    }
    const LowKernels& low = low_kernels(kernels, products);
    return {
        0, precision,
        std::string("int8 ") + low.name + shape(low.block_rows, low.vector_step * kernels.lanes),
        &kernels, products};
  }
  // What serves instead is as good as the one before.
  if (asks_for_codes(precision)) precision = Precision::medium;
  const bool possible = kernels.matrix && every_layer(model, [](const LayerSpec& spec) {
                          return !spec.bidirectional && spec.proj_size == 0 &&
                                 spec.activation == Activation::tanh &&
                                 spec.recurrent_activation == RecurrentActivation::sigmoid;
                        });
  if (kernel == Kernel::matrix && !possible) {
    throw UnsupportedError(kernels.matrix
                               ? "kernel: expected 'auto' or 'fma' for a model with a "
                                 "bidirectional layer, proj_size or "
                                 "an activation other than tanh and sigmoid, got 'matrix'"
                               : std::string("kernel: expected 'auto' or 'fma' with isa '") +
                                     kernels.isa + "' on this CPU, got 'matrix'");
  }
  if (!possible || !takes_matrix(kernel, *kernels.matrix, model, precision)) {
    return {0, Precision::highest,
            "fma" + shape(kernels.block_rows, kernels.vector_step * kernels.lanes), &kernels,
            Products::float32};
  }
  const std::string refusal = ask_for_tiles(kernels);
  if (!refusal.empty()) return choose_without_tiles(kernels, model, precision, kernel, refusal);
  const MatrixKernels& matrix = *kernels.matrix;
  const int parts = parts_of(precision);
  return {parts, precision,
          matrix.name + shape(matrix.block_rows, matrix.vector_step * matrix.lanes) +
              (matrix.has_halves && parts == 1 ? " fp16" : ""),
          &kernels, Products::float32};
}

std::unique_ptr<TileStack> make_tile_stack(const KernelTable& kernels, const Stack& stack,
                                           const KernelChoice& choice, std::int64_t max_vectors) {
  if (choice.parts > 0) {
    return std::make_unique<MatrixStack>(kernels, stack, choice.parts, max_vectors);
  }
  return std::make_unique<StackColumns>(kernels, stack, max_vectors, choice.products);
}

}  // namespace slidecell
