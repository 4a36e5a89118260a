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
#include "weights/pack_codes.h"
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

Products products_of(const Stack& stack, Precision precision) {
  const std::vector<LayerSpec>& specs = stack.specs();
  return asks_for_codes(precision) && std::all_of(specs.begin(), specs.end(), serves_low)
             ? Products::codes
             : Products::float32;
}

// Whether a code serves every number of row n of h [slots,N,size].
bool lies_in_codes(const float* h, std::int64_t slots, std::int64_t N, std::int64_t n,
                   std::int64_t size) {
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const float* row = h + (slot * N + n) * size;
    if (!std::all_of(row, row + size, [](float x) { return x >= -1.0f && x <= 1.0f; })) {
      return false;
    }
  }
  return true;
}

// Rows of h [slots,N,size] that codes do not serve.
std::vector<std::int64_t> rows_beyond_codes(const float* h, std::int64_t slots, std::int64_t N,
                                            std::int64_t size) {
  std::vector<std::int64_t> rows;
  for (std::int64_t n = 0; n < N; ++n) {
    if (!lies_in_codes(h, slots, N, n, size)) rows.push_back(n);
  }
  return rows;
}

// Batch rows from which full vectors of columns beat one row at a time. Both give the same bits.
std::int64_t least_columns(const KernelTable& kernels) {
  return std::max<std::int64_t>(2, kernels.lanes / 2);
}

std::int64_t states_of(const Stack& stack) {
  return static_cast<std::int64_t>(stack.specs().size()) * stack.specs().front().directions();
}

// All rows of the batch, in the orientation that serves so many.
void run_batch(const KernelTable& kernels, const Stack& stack, Products products,
               const Batch& batch, int num_threads) {
  if (batch.N < least_columns(kernels)) {
    parallel_for(
        batch.N, num_threads, [&] { return BatchRow(kernels, stack, products, batch); },
        [](BatchRow& rows, std::int64_t n) { rows.run(n); });
    return;
  }
  const std::int64_t threads = resolve_threads(num_threads);
  const std::int64_t share = round_up(ceil_div(batch.N, threads), kernels.lanes);
  const std::int64_t tile = std::min(std::max(kTileRows, kernels.lanes), share);
  parallel_for(
      ceil_div(batch.N, tile), num_threads,
      [&] {
        return std::make_unique<BatchColumns>(kernels, stack, products, batch,
                                              ceil_div(tile, kernels.lanes));
      },
      [&](auto& columns, std::int64_t i) {
        columns->run(i * tile, std::min(tile, batch.N - i * tile));
      });
}

// The arguments of Recurrent::step.
struct StepRows {
  const float* x;  // [N,I]
  std::int64_t N;
  const float *h, *c;  // [L,N,P], [L,N,H]
  float *h_out, *c_out;
};

void step_rows(const KernelTable& kernels, const Stack& stack, Products products,
               const StepRows& a) {
  // Buffers per thread, kept: a step allocates nothing once they have grown.
  static thread_local AlignedFloats scratch;
  static thread_local StepColumnsBuffers columns;
  if (a.N >= least_columns(kernels)) {
    columns.step(kernels, stack, products, a.x, a.N, a.h, a.c, a.h_out, a.c_out);
    return;
  }
  const std::vector<PackedLayer>& packed = stack.packed(kernels, products);
  const LayerSpec& first = stack.specs().front();
  const bool has_c = first.has_c();
  const std::int64_t P = first.state_size(), H = first.hidden_size;
  if (has_c && a.c_out != a.c) {
    std::copy_n(a.c, static_cast<std::int64_t>(stack.specs().size()) * a.N * H, a.c_out);
  }
  for (const LayerSpec& spec : stack.specs()) {
    const std::int64_t needed = LayerRow::scratch_size(kernels, spec);
    if (scratch.size() < needed) scratch.reset(needed);
  }
  for (std::int64_t n = 0; n < a.N; ++n) {
    const float* in = a.x + n * first.input_size;
    for (std::size_t l = 0; l < stack.specs().size(); ++l) {
      const std::int64_t at = static_cast<std::int64_t>(l) * a.N + n;
      float* h_new = a.h_out + at * P;
      LayerRow layer(kernels, stack.specs()[l], packed[l].front(), scratch.data());
      layer.step(in, a.h + at * P, has_c ? a.c_out + at * H : nullptr, h_new);
      in = h_new;
    }
  }
}

// A step of the rows that codes do not serve, in float32, in buffers that grow and are kept.
class FloatRows {
 public:
  void step(const KernelTable& kernels, const Stack& stack, const StepRows& a) {
    const LayerSpec& first = stack.specs().front();
    layers_ = static_cast<std::int64_t>(stack.specs().size());
    P_ = first.state_size();
    H_ = first.has_c() ? first.hidden_size : 0;
    rows_.clear();
    for (std::int64_t n = 0; n < a.N; ++n) {
      if (!lies_in_codes(a.h, layers_, a.N, n, P_)) rows_.push_back(n);
    }
    h_.resize(rows_.size() * static_cast<std::size_t>(layers_ * P_));
    c_.resize(rows_.size() * static_cast<std::size_t>(layers_ * H_));
    copy([&](std::int64_t from, std::int64_t size,
             float* kept) { std::copy_n(a.h + from * size, size, kept); },
         [&](std::int64_t from, std::int64_t size, float* kept) {
           std::copy_n(a.c + from * size, size, kept);
         },
         a.N);
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      float* h = h_.data() + static_cast<std::int64_t>(i) * layers_ * P_;
      float* c = c_.data() + static_cast<std::int64_t>(i) * layers_ * H_;
      step_rows(kernels, stack, Products::float32,
                {a.x + rows_[i] * first.input_size, 1, h, c, h, c});
    }
  }

  void store(const StepRows& a) {
    copy([&](std::int64_t to, std::int64_t size,
             float* kept) { std::copy_n(kept, size, a.h_out + to * size); },
         [&](std::int64_t to, std::int64_t size, float* kept) {
           std::copy_n(kept, size, a.c_out + to * size);
         },
         a.N);
  }

 private:
  // Calls h and c with the place of each kept state among [L,N] and its size.
  template <class OfH, class OfC>
  void copy(OfH of_h, OfC of_c, std::int64_t N) {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (std::int64_t l = 0; l < layers_; ++l) {
        const std::int64_t at = static_cast<std::int64_t>(i) * layers_ + l;
        of_h(l * N + rows_[i], P_, h_.data() + at * P_);
        if (H_ > 0) of_c(l * N + rows_[i], H_, c_.data() + at * H_);
      }
    }
  }

  std::int64_t layers_ = 0, P_ = 0, H_ = 0;
  std::vector<std::int64_t> rows_;
  std::vector<float> h_, c_;  // [rows][L][P], [rows][L][H]
};

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
                        float* c_n, int num_threads, Precision precision) const {
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
  const Products products = products_of(*stack_, precision);
  run_batch(kernels, *stack_, products, batch, num_threads);
  if (products == Products::float32 || !h0) return;
  const std::vector<std::int64_t> beyond =
      rows_beyond_codes(h0, states_of(*stack_), N, specs().front().state_size());
  parallel_for(
      static_cast<std::int64_t>(beyond.size()), num_threads,
      [&] { return BatchRow(kernels, *stack_, Products::float32, batch); },
      [&](BatchRow& rows, std::int64_t i) { rows.run(beyond[static_cast<std::size_t>(i)]); });
}

void Recurrent::step(const float* x, std::int64_t N, const float* h, const float* c, float* h_out,
                     float* c_out, Precision precision) const {
  if (stack_->bidirectional()) {
    throw std::invalid_argument(
        "step: expected a unidirectional stack; the reverse direction "
        "needs the whole sequence");
  }
  check_step(specs().front(), x, N, h, c, h_out, c_out);
  const KernelTable& kernels = active_kernels();
  const FlushDenormals flush;
  const Products products = products_of(*stack_, precision);
  if (products == Products::float32) {
    return step_rows(kernels, *stack_, products, {x, N, h, c, h_out, c_out});
  }
  // Rows that codes do not serve come first: h_out may be h.
  static thread_local FloatRows beyond;
  beyond.step(kernels, *stack_, {x, N, h, c, h_out, c_out});
  step_rows(kernels, *stack_, products, {x, N, h, c, h_out, c_out});
  beyond.store({x, N, h, c, h_out, c_out});
}

}  // namespace slidecell
