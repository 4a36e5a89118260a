#include "slidecell/recurrent.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/denormals.h"
#include "cpu/parallel.h"
#include "layers/batch_columns.h"
#include "layers/batch_row.h"
#include "layers/layer_row.h"
#include "layers/step_columns.h"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

// Zeros beyond each length, and the given states where a row has no step at all.
void fill_rest(const Stack& stack, const Batch& batch) {
  for (std::int64_t n = 0; n < batch.N; ++n) {
    const std::int64_t length = batch.length(n);
    float* out = batch.out + (n * batch.T + length) * stack.output_size();
    std::fill_n(out, (batch.T - length) * stack.output_size(), 0.0f);
    if (length > 0) continue;
    const auto slots =
        static_cast<std::int64_t>(stack.specs().size()) * stack.specs().front().directions();
    const std::int64_t P = stack.specs().front().state_size();
    const std::int64_t H = stack.specs().front().hidden_size;
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      const std::int64_t at = slot * batch.N + n;
      for (std::int64_t j = 0; j < P; ++j) {
        batch.h_n[at * P + j] = batch.h0 ? batch.h0[at * P + j] : 0.0f;
      }
      for (std::int64_t j = 0; j < H && batch.c_n; ++j) {
        batch.c_n[at * H + j] = batch.c0 ? batch.c0[at * H + j] : 0.0f;
      }
    }
  }
}

void check_step(const LayerSpec& spec, const float* x, std::int64_t N, const float* h,
                const float* c, const float* h_out, const float* c_out) {
  require_pointer(x, N, "x");
  require_pointer(h, N, "h");
  require_pointer(h_out, N, "h_out");
  if (!spec.has_c()) return;
  require_pointer(c, N, "c");
  require_pointer(c_out, N, "c_out");
}

// Batch rows from which full vectors of columns beat one row at a time. Both give the same bits.
std::int64_t least_columns(const KernelTable& kernels) {
  return std::max<std::int64_t>(2, kernels.lanes / 2);
}

}  // namespace

Recurrent::Recurrent(std::vector<LayerSpec> specs, const std::vector<LayerWeights>& weights)
    : stack_(std::make_unique<const Stack>("layer", std::move(specs), weights)) {
  for (const LayerSpec& spec : stack_->specs()) {
    const LayerSpec& first = stack_->specs().front();
    if (spec.cell != first.cell || spec.hidden_size != first.hidden_size ||
        spec.proj_size != first.proj_size || spec.bidirectional != first.bidirectional) {
      throw std::invalid_argument(
          "layers: expected the same cell, hidden_size, proj_size and bidirectional in all");
    }
  }
}

Recurrent::~Recurrent() = default;
Recurrent::Recurrent(Recurrent&&) noexcept = default;
Recurrent& Recurrent::operator=(Recurrent&&) noexcept = default;

const std::vector<LayerSpec>& Recurrent::specs() const { return stack_->specs(); }

void Recurrent::forward(const float* x, std::int64_t N, std::int64_t T, const float* h0,
                        const float* c0, Span<const std::int64_t> lengths, float* out, float* h_n,
                        float* c_n, int num_threads) const {
  const bool has_c = specs().front().has_c();
  if (has_c && (h0 == nullptr) != (c0 == nullptr)) {
    throw std::invalid_argument("state: expected both h0 and c0, or neither");
  }
  if (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != N) {
    throw std::invalid_argument("lengths: expected " + std::to_string(N) + " (rows of x), got " +
                                std::to_string(lengths.size()));
  }
  require_pointer(x, N * T, "x");
  require_pointer(out, N * T, "out");
  require_pointer(h_n, N, "h_n");
  require_pointer(lengths.data(), static_cast<std::int64_t>(lengths.size()), "lengths");
  for (const std::int64_t length : lengths) {
    if (length < 0 || length > T) {
      throw std::invalid_argument("lengths: expected 0 to T=" + std::to_string(T) + ", got " +
                                  std::to_string(length));
    }
  }
  const KernelTable& kernels = active_kernels();
  const Batch batch{x, N, T, h0, c0, lengths, out, h_n, has_c ? c_n : nullptr};
  fill_rest(*stack_, batch);
  if (N < least_columns(kernels)) {
    parallel_for(
        N, num_threads, [&] { return BatchRow(kernels, *stack_, batch); },
        [](BatchRow& rows, std::int64_t n) { rows.run(n); });
    return;
  }
  const std::int64_t threads = resolve_threads(num_threads);
  const std::int64_t share = round_up(ceil_div(N, threads), kernels.lanes);
  const std::int64_t tile = std::min(std::max(kTileRows, kernels.lanes), share);
  parallel_for(
      ceil_div(N, tile), num_threads,
      [&] {
        return std::make_unique<BatchColumns>(kernels, *stack_, batch,
                                              ceil_div(tile, kernels.lanes));
      },
      [&](auto& columns, std::int64_t i) { columns->run(i * tile, std::min(tile, N - i * tile)); });
}

void Recurrent::step(const float* x, std::int64_t N, const float* h, const float* c, float* h_out,
                     float* c_out) const {
  if (stack_->bidirectional()) {
    throw std::invalid_argument(
        "step: expected a unidirectional stack; the reverse direction "
        "needs the whole sequence");
  }
  check_step(specs().front(), x, N, h, c, h_out, c_out);
  const KernelTable& kernels = active_kernels();
  const FlushDenormals flush;
  // Buffers per thread, kept: a step allocates nothing once they have grown.
  static thread_local AlignedFloats scratch;
  static thread_local StepColumnsBuffers columns;
  if (N >= least_columns(kernels)) {
    columns.step(kernels, *stack_, x, N, h, c, h_out, c_out);
    return;
  }
  const std::vector<PackedLayer>& packed = stack_->packed(kernels);
  const LayerSpec& first = specs().front();
  const bool has_c = first.has_c();
  const std::int64_t P = first.state_size(), H = first.hidden_size;
  if (has_c && c_out != c) {
    std::copy_n(c, static_cast<std::int64_t>(specs().size()) * N * H, c_out);
  }
  for (const LayerSpec& spec : specs()) {
    const std::int64_t needed = LayerRow::scratch_size(kernels, spec);
    if (scratch.size() < needed) scratch.reset(needed);
  }
  for (std::int64_t n = 0; n < N; ++n) {
    const float* in = x + n * first.input_size;
    for (std::size_t l = 0; l < specs().size(); ++l) {
      const std::int64_t at = static_cast<std::int64_t>(l) * N + n;
      float* h_new = h_out + at * P;
      LayerRow layer(kernels, specs()[l], packed[l].front(), scratch.data());
      layer.step(in, h + at * P, has_c ? c_out + at * H : nullptr, h_new);
      in = h_new;
    }
  }
}

}  // namespace slidecell
