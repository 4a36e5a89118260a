// LSTM, GRU and RNN over whole sequences (forward) or one step at a time (step).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/layer.hpp"
#include "slidecell/precision.hpp"
#include "slidecell/span.hpp"

namespace slidecell {

class Stack;

// A stack of recurrent layers. It is immutable: weights are copied in, packed once per ISA on
// first use, and shared between threads without locks.
class SLIDECELL_API Recurrent {
 public:
  // Throws std::invalid_argument on shapes that do not fit or weights that are not finite.
  Recurrent(std::vector<LayerSpec> specs, const std::vector<LayerWeights>& weights);
  ~Recurrent();
  Recurrent(Recurrent&&) noexcept;
  Recurrent& operator=(Recurrent&&) noexcept;

  const std::vector<LayerSpec>& specs() const;

  // x [N,T,I] -> out [N,T,D*H], h_n and c_n [L*D,N,H] (c_n: LSTM only, may be null).
  // h0, c0 [L*D,N,H] or null (zeros). lengths [N] in 0..T or empty (all T): out is zero from
  // lengths[n] on, and h_n, c_n are those of the last valid step.
  // With proj_size P, h is [.., P] and c [.., H].
  // Precision::low multiplies 8-bit codes where they serve the layers; rows whose h0 exceeds +-1
  // alone run in float32, as everything does at the other precisions.
  void forward(const float* x, std::int64_t N, std::int64_t T, const float* h0, const float* c0,
               Span<const std::int64_t> lengths, float* out, float* h_n, float* c_n,
               int num_threads = 0, Precision precision = Precision::highest) const;

  // One step of every layer: x [N,I], h [L,N,H] and c [L,N,H] are read, h_out and c_out written
  // (they may be the same buffers as h and c). Unidirectional only. It runs on the calling thread,
  // which keeps buffers: after a first call of as many rows it allocates nothing, takes no lock.
  void step(const float* x, std::int64_t N, const float* h, const float* c, float* h_out,
            float* c_out, Precision precision = Precision::highest) const;

 private:
  std::unique_ptr<const Stack> stack_;
};

}  // namespace slidecell
