#include "layers/head.h"

#include <algorithm>

#include "layers/columns.h"
#include "layers/layer_row.h"

namespace slidecell {
namespace {

void activate(const KernelTable& kernels, const HeadLayer& layer, const float* x, float* out,
              std::ptrdiff_t stride, std::int64_t rows, std::int64_t vectors) {
  kernels.activate({x, out, stride, rows, vectors, layer.activation, layer.slope});
}

}  // namespace

HeadColumns::HeadColumns(const KernelTable& kernels, const Head& head, std::ptrdiff_t stride)
    : kernels_(kernels), head_(head), stride_(stride) {
  for (AlignedFloats& inner : inner_) inner.reset(head.inner_rows() * stride);
}

void HeadColumns::run(const float* x, float* out, std::int64_t vectors) {
  std::int64_t size = head_.depth();
  const std::size_t count = head_.layers().size();
  for (std::size_t l = 0; l < count; ++l) {
    const HeadLayer& layer = head_.layers()[l];
    float* to = l + 1 == count ? out : inner_[l % 2].data();
    if (layer.linear) {
      project_columns(kernels_, layer.linear->packed(kernels_), x, stride_, to, stride_, vectors);
      size = layer.linear->rows();
      x = to;
    }
    if (!layer.linear || layer.activation != HeadActivation::linear) {
      activate(kernels_, layer, x, to, stride_, size, vectors);
    }
    x = to;
  }
}

HeadRow::HeadRow(const KernelTable& kernels, const Head& head)
    : kernels_(kernels), head_(head), out_(round_up(head.rows(), kernels.lanes)) {
  head.pack(kernels);
  for (AlignedFloats& inner : inner_) inner.reset(round_up(head.inner_rows(), kernels.lanes));
}

const float* HeadRow::run(const float* x) {
  std::int64_t size = head_.depth();
  const std::size_t count = head_.layers().size();
  for (std::size_t l = 0; l < count; ++l) {
    const HeadLayer& layer = head_.layers()[l];
    float* to = l + 1 == count ? out_.data() : inner_[l % 2].data();
    if (layer.linear) {
      project_row(kernels_, layer.linear->packed(kernels_), x, to);
      size = layer.linear->rows();
    } else {
      std::copy_n(x, size, to);  // x may end within a vector
    }
    if (layer.activation != HeadActivation::linear) {
      const std::int64_t vectors = ceil_div(size, kernels_.lanes);
      activate(kernels_, layer, to, to, 0, 1, vectors);
    }
    x = to;
  }
  return out_.data();
}

}  // namespace slidecell
