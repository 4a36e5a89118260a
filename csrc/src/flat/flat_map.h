// A linear map of flattened windows: its packed weights, and its products with the windows of a
// tile.
#pragma once

#include <cstdint>
#include <vector>

#include "score/window_tile.h"
#include "weights/linear.h"

namespace slidecell {

class FlatMap {
 public:
  // w [rows][window * varying.size()], b [rows].
  FlatMap(std::int64_t rows, std::int64_t window, std::vector<std::int32_t> varying,
          std::vector<float> w, std::vector<float> b);

  std::int64_t rows() const { return linear_.rows(); }
  // Rows of one call of `products`: whole blocks that fit the caches beside a tile.
  std::int64_t chunk(const KernelTable& kernels) const;
  // out [n][stride] = rows first .. first+n-1 of the map, of all windows of the tile. `first` is a
  // multiple of chunk(), n at most chunk().
  void products(const KernelTable& kernels, WindowTile& tile, std::int64_t first, std::int64_t n,
                float* out, std::ptrdiff_t stride) const;

 private:
  std::int64_t window_;
  std::vector<std::int32_t> varying_;
  Linear linear_;
};

}  // namespace slidecell
