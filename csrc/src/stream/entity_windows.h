// The unfinished windows of one entity: W phases as columns, the oldest one ready to answer.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/columns.h"
#include "layers/layer_row.h"

namespace slidecell {

// Floats that the W - 1 unfinished windows of an entity hold.
std::int64_t unfinished_state_size(const Stack& stack, std::int64_t window);

// The slot of W that the window started at row `start` lives in; start may be negative.
inline std::int64_t window_slot(std::int64_t start, std::int64_t window) {
  return (start % window + window) % window;
}

// A window that started at row n lives in column n % W. Row n completes the window in column
// (n + 1) % W and starts the one in column n % W.
// Allocates when built and never after. For unidirectional stacks. bf16_weights: of the window that
// answers, where its products are not of codes.
class EntityWindows {
 public:
  EntityWindows(const KernelTable& kernels, const Stack& stack, std::int64_t window,
                Products products, bool bf16_weights);

  // Reads row n: x [F]. Returns the code of the window that it completes, null for n < W - 1.
  // advance(n) must follow before row n + 1.
  const float* answer(const float* x, std::int64_t n);

  // Forgets all rows: the next one is row 0.
  void restart();

  // Takes all windows past row n, and prepares the one that row n + 1 will complete.
  void advance(std::int64_t n);

  // The state after row n, in an order that no layout changes: window by window (those that have
  // taken 1 .. W-1 rows), layer by layer, h then c: [unfinished_state_size].
  void save(std::int64_t n, float* out);
  void restore(std::int64_t n, const float* in);

 private:
  class BroadcastInput;
  void prepare(std::int64_t next_row);
  template <class Visit>
  void for_state(std::int64_t n, Visit visit);

  const KernelTable& kernels_;
  const Stack& stack_;
  std::int64_t window_;
  StackColumns columns_;
  std::vector<AlignedFloats> scratch_;
  std::vector<LayerRow> layers_;
  std::vector<AlignedFloats> h_, c_;  // of the window that answers next: [state_size], [H]
  AlignedFloats p_;                   // layer 0's projected input, in every lane: [G*H][lanes]
  std::vector<std::int32_t> col_;
};

}  // namespace slidecell
