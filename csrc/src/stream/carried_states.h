// The states of a stream that carries them: two chains for each entity (score/carried.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layers/columns.h"
#include "layers/layer_row.h"

namespace slidecell {

// The chains of an entity take turns: that of block j is number j % 2. Both orientations give the
// same bits, unless rows take bf16 weights. Allocates when built and never after. For
// unidirectional stacks.
class CarriedStates {
 public:
  // width: columns that step() takes at once.
  CarriedStates(const KernelTable& kernels, const Stack& stack, std::int64_t num_entities,
                std::int64_t width, Products products);

  // Floats of one chain: layer by layer, h then c.
  static std::int64_t chain_size(const Stack& stack);

  std::int64_t width() const { return width_; }

  struct Step {
    std::int64_t entity = 0;
    std::int64_t chain = 0;  // 0 or 1
  };

  // One thread's buffers.
  class Workspace {
   public:
    Workspace(const CarriedStates& states, bool bf16_weights);

   private:
    friend class CarriedStates;
    std::vector<AlignedFloats> row_scratch_;
    std::vector<LayerRow> rows_;       // [layers]
    AlignedFloats gathered_;           // [width][chain size]
    AlignedFloats columns_;            // [chain size][width]
    std::vector<AlignedFloats> p_;     // [layers]: [G*H][width]
    std::vector<AlignedFloats> next_;  // [layers]: h after the step
    AlignedFloats unprojected_, scratch_;
  };

  // The top layer's h.
  const float* output(const Step& step) { return state(step) + output_; }
  // Brings a chain near that a step will take soon: those of many entities lie in no cache.
  void prefetch(const Step& step);
  // The chain's next step starts from zero.
  void zero(const Step& step);
  // One step on x [F]. Returns the top layer's new h.
  const float* step_row(const Step& step, const float* x, Workspace& workspace);
  // One step of `count` chains, at most width, on x [F][width]. Returns the top layer's new h,
  // [state_size][width].
  const float* step_columns(const Step* steps, std::int64_t count, const float* x,
                            Workspace& workspace);

  // Both chains of an entity: [2 chain_size].
  void save(std::int64_t entity, float* out);
  void restore(std::int64_t entity, const float* in);

 private:
  float* state(const Step& step) {
    return states_.data() +
           static_cast<std::size_t>((step.chain * num_entities_ + step.entity) * size_);
  }

  const KernelTable& kernels_;
  const Stack& stack_;
  const std::vector<PackedLayer>& packed_;
  Products products_;
  std::int64_t num_entities_, size_, width_;
  std::int64_t output_;  // where the top layer's h stands in a chain
  std::vector<std::int32_t> col_;
  // [2][entities][size]: entities that are at one place of their blocks lie side by side.
  std::vector<float> states_;
};

}  // namespace slidecell
