#include "stream/recomputed_window.h"

#include <algorithm>

namespace slidecell {

class RecomputedWindow::Input final : public InputColumns {
 public:
  Input(RecomputedWindow& window, const float* ring, std::int64_t ring_rows, std::int64_t n)
      : w_(window), ring_(ring), ring_rows_(ring_rows), n_(n) {}

  StepInput at(std::int64_t step, std::size_t direction) override {
    const PackedLinear& linear = w_.columns_.bottom()[direction].input;
    const std::int64_t lanes = w_.kernels_.lanes;
    const std::int64_t n = direction == 0 ? n_ - w_.window_ + 1 + step : n_ - step;
    const float* row = ring_ + n % ring_rows_ * linear.depth;
    for (std::int64_t i = 0; i < linear.depth; ++i) {
      std::fill_n(w_.x_.data() + i * lanes, lanes, row[i]);
    }
    project_columns(w_.kernels_, linear, w_.x_.data(), lanes, w_.p_.data(), lanes, 1);
    return {w_.p_.data(), lanes, &col_};
  }

 private:
  RecomputedWindow& w_;
  const float* ring_;
  std::int64_t ring_rows_, n_;
  std::int32_t col_ = 0;
};

RecomputedWindow::RecomputedWindow(const KernelTable& kernels, const Stack& stack,
                                   std::int64_t window, Products products)
    : kernels_(kernels),
      window_(window),
      columns_(kernels, stack, 1, products),
      x_(stack.input_size() * kernels.lanes),
      p_(columns_.bottom().front().input.rows * kernels.lanes),
      code_(stack.output_size()) {
  // Hidden sequences get their buffers in the first run.
  const AlignedFloats rows(stack.input_size());
  code(rows.data(), 1, window - 1);
}

const float* RecomputedWindow::code(const float* ring, std::int64_t ring_rows, std::int64_t n) {
  Input input(*this, ring, ring_rows, n);
  columns_.clear();
  const float* h = columns_.run(input, window_, 1, nullptr);
  for (std::int64_t j = 0; j < code_.size(); ++j) code_.data()[j] = h[j * columns_.stride()];
  return code_.data();
}

}  // namespace slidecell
