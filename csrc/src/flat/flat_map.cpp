#include "flat/flat_map.h"

#include <algorithm>
#include <utility>

namespace slidecell {

FlatMap::FlatMap(std::int64_t rows, std::int64_t window, std::vector<std::int32_t> varying,
                 std::vector<float> w, std::vector<float> b)
    : window_(window),
      varying_(std::move(varying)),
      linear_(rows, window * static_cast<std::int64_t>(varying_.size()), std::move(w),
              std::move(b)) {}

std::int64_t FlatMap::chunk(const KernelTable& kernels) const {
  constexpr std::int64_t kRows = 96;
  const std::int64_t most = round_up(kRows, kernels.block_rows);
  return std::min(most, round_up(rows(), kernels.block_rows));
}

void FlatMap::products(const KernelTable& kernels, WindowTile& tile, std::int64_t first,
                       std::int64_t n, float* out, std::ptrdiff_t stride) const {
  ProjectWindows a{};
  a.w = linear_.packed(kernels).columns.data() + first * (1 + linear_.depth());
  a.rows = n;
  a.window = window_;
  a.feature = varying_.data();
  a.features = static_cast<std::int64_t>(varying_.size());
  a.x = tile.x();
  a.x_stride = tile.stride();
  a.x_col = tile.columns(0);
  a.x_step = tile.offset(1);
  a.out = out;
  a.out_stride = stride;
  a.vectors = tile.size();
  kernels.project_windows(a);
}

}  // namespace slidecell
