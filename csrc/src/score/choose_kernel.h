// Which products a model's score is made of: the rule, by CPU, model, precision and argument alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "layers/columns.h"
#include "model/model_parts.h"

namespace slidecell {

// Units of every layer from which tiles multiply codes. By count (benchmarks/NOTES.md).
constexpr std::int64_t kLeastLowTileUnits = 32;

struct KernelChoice {
  int parts = 0;  // bf16 parts of a float32 number on kernels.matrix; 0: as `products` says
  Precision precision = Precision::highest;  // what that gives
  std::string kernel;                        // its name, for people
  const KernelTable* kernels = nullptr;      // the table that runs it
  Products products = Products::float32;
};

// What the recurrent products of a model are made of at a precision: codes where "low" is asked for
// and serves every layer.
Products products_of(const ModelParts& model, Precision precision);

// Products are float32, whatever is asked, without matrix kernels and for models with a layer that
// is bidirectional, projects its h, or activates by anything but tanh and sigmoid.
// AVX512-BF16's dot products, twice as fast as float32's, serve "medium" alone: three of them would
// cost more than one of float32.
// AMX serves "medium" and "high", and "highest" where every layer has H >= 32: below, its tiles of
// 32 inputs are partly empty. By the throughputs of instructions six products win from H = 12 on;
// no CPU with AMX has confirmed either number yet.
// "low" takes 8-bit products of every ISA where each layer has tanh or sigmoid, no projection and
// H <= 2^17; other models run what "medium" takes. AMX's 8-bit tiles make them where every layer
// activates by tanh and sigmoid and has H >= kLeastLowTileUnits, dot products elsewhere: scores
// have the same bits. Kernel::fma and Kernel::matrix overrule this; Kernel::matrix throws
// UnsupportedError where there is none. Tiles need the operating system's permission, asked for
// here, when they are first wanted. Where it refuses, the ISA without them serves and the name says
// why; but an ISA that was named by the user is replaced by no other: UnsupportedError.
KernelChoice choose_kernel(const KernelTable& kernels, const ModelParts& model, Precision precision,
                           Kernel kernel);

// The stack on tiles of up to max_vectors groups of columns.
std::unique_ptr<TileStack> make_tile_stack(const KernelTable& kernels, const Stack& stack,
                                           const KernelChoice& choice, std::int64_t max_vectors);

}  // namespace slidecell
