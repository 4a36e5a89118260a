// The unfinished windows of many entities: columns are entities, so that a row for each of them
// runs the kernels on full vectors.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"

namespace slidecell {

// One row for each of some columns of a block.
struct BlockRows {
  std::int64_t block = 0;
  std::vector<std::int64_t> columns;  // distinct, ascending
  std::vector<std::int64_t> n;        // the row's number for its entity
};

// Entity e is column e % width of block e / width. A window that started at row n lives in slot
// n % W. For unidirectional stacks.
class BlockWindows {
 public:
  BlockWindows(const KernelTable& kernels, const Stack& stack, std::int64_t window,
               std::int64_t num_entities, std::int64_t width, Products products);

  std::int64_t width() const { return width_; }

  // One thread's buffers.
  class Workspace {
   public:
    explicit Workspace(const BlockWindows& windows);

   private:
    friend class BlockWindows;
    std::vector<AlignedFloats> p_;      // [layers]: [G*H][width]
    std::vector<AlignedFloats> h_, c_;  // [layers]: gathered states
    std::vector<AlignedFloats> next_;   // [layers]: h after the step
    AlignedFloats unprojected_, scratch_;
  };

  // Advances all windows of the columns by x [F][width] (in the order of rows.columns). Returns
  // the codes of the windows that these rows complete, [code][width]; meaningless for n < W - 1.
  const float* push(const BlockRows& rows, const float* x, Workspace& workspace);

  void save(std::int64_t entity, std::int64_t n, float* out);
  void restore(std::int64_t entity, std::int64_t n, const float* in);

 private:
  struct State {
    AlignedFloats h, c;  // [state_size][width], [H][width]
  };
  State& state(std::int64_t block, std::int64_t slot, std::size_t layer) {
    return states_[static_cast<std::size_t>((block * window_ + slot) * layers()) + layer];
  }
  std::int64_t layers() const { return static_cast<std::int64_t>(stack_.specs().size()); }
  bool in_step(const BlockRows& rows) const;
  void step(std::size_t layer, const StepInput& input, std::int64_t vectors, const float* h,
            float* c, float* h_out, Workspace& workspace) const;
  void move(const BlockRows& rows, std::int64_t age, bool gather, Workspace& workspace);
  template <class Visit>
  void for_state(std::int64_t entity, std::int64_t n, Visit visit);

  const KernelTable& kernels_;
  const Stack& stack_;
  const std::vector<PackedLayer>& packed_;
  Products products_;
  std::int64_t window_, num_entities_, width_;
  std::vector<std::int32_t> col_;
  std::vector<State> states_;  // [blocks][W][layers]
};

}  // namespace slidecell
