// Tiles of windows that were chosen from anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "score/window_tile.h"
#include "slidecell/span.hpp"
#include "slidecell/windows.hpp"

namespace slidecell {

// windows: numbers of the plan's windows, ascending, each once. Chosen windows that follow each
// other fill vectors whose lanes share rows; what is left fills mixed vectors, where they fit.
std::vector<TileWindows> chosen_tiles(const WindowPlan& plan, Span<const std::int64_t> windows,
                                      std::int64_t lanes, const MixRule& rule);

}  // namespace slidecell
