// The plain float64 twin of the recurrent kernels: the truth that tests compare with.
// Never tuned; one batch row, one unit, one product at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "slidecell/layer.hpp"

namespace slidecell::reference {

using Doubles = std::vector<double>;

struct Forward {
  Doubles out;  // [N,T,D*(P or H)] of the last layer
  Doubles h_n;  // [L*D,N,P or H], layer after layer (each layer with its own size)
  Doubles c_n;  // [L*D,N,H]; zeros for GRU layers
};

// x [N,T,I] through the whole stack. h0 and c0 are laid out as h_n and c_n; empty: zeros.
// lengths [N] in 0..T, empty: all T. Rows are zero beyond their length.
Forward forward(const std::vector<LayerSpec>& specs, const std::vector<LayerWeights>& weights,
                const Doubles& x, std::int64_t N, std::int64_t T, const Doubles& h0 = {},
                const Doubles& c0 = {}, const std::vector<std::int64_t>& lengths = {});

}  // namespace slidecell::reference
