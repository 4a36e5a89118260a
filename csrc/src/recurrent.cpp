#include "slidecell/recurrent.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "columns.h"
#include "denormals.h"
#include "layer_row.h"
#include "parallel.h"

namespace slidecell {
namespace {

// The arguments of Recurrent::forward.
struct Batch {
  const float* x;  // [N,T,I]
  std::int64_t N, T;
  const float *h0, *c0;  // [L*D,N,P or H], [L*D,N,H], or null
  Span<const std::int64_t> lengths;
  float *out, *h_n, *c_n;

  std::int64_t length(std::int64_t n) const {
    return lengths.empty() ? T : lengths[static_cast<std::size_t>(n)];
  }
};

// Layer 0's input of a tile of batch rows first .. first+count-1.
class BatchInput final : public InputColumns {
 public:
  BatchInput(const KernelTable& kernels, const PackedLayer& layer, std::ptrdiff_t stride,
             const Batch& batch)
      : kernels_(kernels),
        layer_(layer),
        stride_(stride),
        batch_(batch),
        col_(adjacent_columns(kernels, stride / kernels.lanes)),
        x_(layer.front().input.depth * stride),
        p_(layer.front().input.rows * stride) {}

  void set(std::int64_t first, std::int64_t count) {
    first_ = first;
    count_ = count;
  }

  StepInput at(std::int64_t step, std::size_t direction) override {
    const PackedLinear& linear = layer_[direction].input;
    for (std::int64_t column = 0; column < count_; ++column) {
      const std::int64_t length = batch_.length(first_ + column);
      // Columns past their end read any row: nothing of them is kept.
      const std::int64_t t = direction == 0 ? step : std::max<std::int64_t>(0, length - 1 - step);
      const float* row = batch_.x + ((first_ + column) * batch_.T + t) * linear.depth;
      for (std::int64_t i = 0; i < linear.depth; ++i) x_.data()[i * stride_ + column] = row[i];
    }
    const std::int64_t vectors = ceil_div(count_, kernels_.lanes);
    project_columns(kernels_, linear, x_.data(), stride_, p_.data(), stride_, vectors);
    return {p_.data(), stride_, col_.data()};
  }

 private:
  const KernelTable& kernels_;
  const PackedLayer& layer_;
  std::ptrdiff_t stride_;
  const Batch& batch_;
  std::int64_t first_ = 0, count_ = 0;
  std::vector<std::int32_t> col_;
  AlignedFloats x_, p_;
};

// Writes out, h_n and c_n of a tile of batch rows, transposed back.
class BatchWriter final : public StepSink {
 public:
  BatchWriter(const Stack& stack, const Batch& batch, std::ptrdiff_t stride)
      : stack_(stack), batch_(batch), stride_(stride) {}

  void set(std::int64_t first, std::int64_t count) {
    first_ = first;
    count_ = count;
  }

  void on_step(std::int64_t t, const float* h) override {
    const std::int64_t size = stack_.output_size();
    for (std::int64_t column = 0; column < count_; ++column) {
      if (t >= batch_.length(first_ + column)) continue;
      float* out = batch_.out + ((first_ + column) * batch_.T + t) * size;
      for (std::int64_t j = 0; j < size; ++j) out[j] = h[j * stride_ + column];
    }
  }

  void on_layer_step(std::size_t layer, std::size_t direction, std::int64_t step,
                     LayerColumns& state) override {
    for (std::int64_t column = 0; column < count_; ++column) {
      if (step != batch_.length(first_ + column) - 1) continue;
      copy_state(layer, direction, column, state);
    }
  }

 private:
  void copy_state(std::size_t layer, std::size_t direction, std::int64_t column,
                  LayerColumns& state) {
    const LayerSpec& spec = state.spec();
    const std::int64_t slot =
        static_cast<std::int64_t>(layer) * spec.directions() + static_cast<std::int64_t>(direction);
    const std::int64_t n = slot * batch_.N + first_ + column;
    for (std::int64_t j = 0; j < spec.state_size(); ++j) {
      batch_.h_n[n * spec.state_size() + j] = state.h()[j * stride_ + column];
    }
    if (!batch_.c_n) return;
    for (std::int64_t j = 0; j < spec.hidden_size; ++j) {
      batch_.c_n[n * spec.hidden_size + j] = state.c()[j * stride_ + column];
    }
  }

  const Stack& stack_;
  const Batch& batch_;
  std::ptrdiff_t stride_;
  std::int64_t first_ = 0, count_ = 0;
};

// One thread's workspace for tiles of batch rows.
class BatchColumns {
 public:
  BatchColumns(const KernelTable& kernels, const Stack& stack, const Batch& batch,
               std::int64_t max_vectors)
      : kernels_(kernels),
        stack_(stack),
        batch_(batch),
        columns_(kernels, stack, max_vectors),
        input_(kernels, columns_.bottom(), columns_.stride(), batch),
        writer_(stack, batch, columns_.stride()),
        lengths_(static_cast<std::size_t>(columns_.stride())) {}

  void run(std::int64_t first, std::int64_t count) {
    input_.set(first, count);
    writer_.set(first, count);
    std::int64_t steps = 0;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    for (std::int64_t column = 0; column < count; ++column) {
      lengths_[static_cast<std::size_t>(column)] = batch_.length(first + column);
      steps = std::max(steps, lengths_[static_cast<std::size_t>(column)]);
    }
    columns_.clear();
    if (batch_.h0) load_states(first, count);
    columns_.run(input_, steps, ceil_div(count, kernels_.lanes), &writer_,
                 batch_.lengths.empty() ? nullptr : lengths_.data());
  }

 private:
  void load_states(std::int64_t first, std::int64_t count) {
    std::int64_t slot = 0;
    for (std::size_t l = 0; l < stack_.specs().size(); ++l) {
      const LayerSpec& spec = stack_.specs()[l];
      for (std::int64_t d = 0; d < spec.directions(); ++d, ++slot) {
        LayerColumns& state = columns_.layer(l, static_cast<std::size_t>(d));
        const std::int64_t n = slot * batch_.N + first;
        for (std::int64_t column = 0; column < count; ++column) {
          for (std::int64_t j = 0; j < spec.state_size(); ++j) {
            state.h()[j * columns_.stride() + column] =
                batch_.h0[(n + column) * spec.state_size() + j];
          }
          for (std::int64_t j = 0; j < spec.hidden_size && spec.cell == Cell::lstm; ++j) {
            state.c()[j * columns_.stride() + column] =
                batch_.c0[(n + column) * spec.hidden_size + j];
          }
        }
        state.resume();
      }
    }
  }

  const KernelTable& kernels_;
  const Stack& stack_;
  const Batch& batch_;
  StackColumns columns_;
  BatchInput input_;
  BatchWriter writer_;
  std::vector<std::int64_t> lengths_;
};

// One thread's workspace for single batch rows, layer by layer.
class BatchRow {
 public:
  BatchRow(const KernelTable& kernels, const Stack& stack, const Batch& batch)
      : kernels_(kernels), stack_(stack), packed_(stack.packed(kernels)), batch_(batch) {
    std::int64_t scratch = 0, widest = 0;
    for (const LayerSpec& spec : stack.specs()) {
      scratch = std::max(scratch, LayerRow::scratch_size(kernels, spec));
      widest = std::max(widest, spec.output_size());
    }
    scratch_.reset(scratch);
    if (stack.specs().size() > 1) {
      below_.reset(batch.T * widest);
      above_.reset(batch.T * widest);
    }
  }

  void run(std::int64_t n) {
    const std::int64_t length = batch_.length(n), out_size = stack_.output_size();
    const float* x = batch_.x + n * batch_.T * stack_.input_size();
    for (std::size_t l = 0; l < stack_.specs().size(); ++l) {
      const bool top = l + 1 == stack_.specs().size();
      float* out = top ? batch_.out + n * batch_.T * out_size : above_.data();
      for (std::int64_t d = 0; d < stack_.specs()[l].directions(); ++d) {
        run_direction(n, l, d, x, length, out);
      }
      std::swap(below_, above_);
      x = below_.data();
    }
  }

 private:
  void run_direction(std::int64_t n, std::size_t l, std::int64_t d, const float* x,
                     std::int64_t length, float* out) {
    const LayerSpec& spec = stack_.specs()[l];
    const PackedDirection& packed = packed_[l][static_cast<std::size_t>(d)];
    const std::int64_t state = spec.state_size();
    const std::int64_t at = (static_cast<std::int64_t>(l) * spec.directions() + d) * batch_.N + n;
    float* h_n = batch_.h_n + at * state;
    c_.resize(static_cast<std::size_t>(spec.hidden_size));
    if (batch_.c0) std::copy_n(batch_.c0 + at * spec.hidden_size, spec.hidden_size, c_.begin());
    const float* h = batch_.h0 ? batch_.h0 + at * state : nullptr;
    LayerRow layer(kernels_, spec, packed, scratch_.data());
    for (std::int64_t step = 0; step < length; ++step) {
      const std::int64_t t = d == 0 ? step : length - 1 - step;
      float* h_out = out + t * spec.output_size() + d * state;
      layer.step(x + t * spec.input_size, h, c_.data(), h_out);
      h = h_out;
    }
    if (length == 0) return;
    std::copy_n(h, state, h_n);
    if (batch_.c_n) std::copy_n(c_.begin(), spec.hidden_size, batch_.c_n + at * spec.hidden_size);
  }

  const KernelTable& kernels_;
  const Stack& stack_;
  const std::vector<PackedLayer>& packed_;
  const Batch& batch_;
  AlignedFloats scratch_, below_, above_;
  std::vector<float> c_;
};

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

constexpr std::int64_t kTileRows = 96;

// One step of a batch as columns, tile by tile, in buffers that grow and are kept.
class StepColumnsBuffers {
 public:
  // Arguments of Recurrent::step; h_out and c_out may be h and c.
  void step(const KernelTable& kernels, const Stack& stack, const float* x, std::int64_t N,
            const float* h, const float* c, float* h_out, float* c_out) {
    const std::int64_t tile = std::min(std::max(kTileRows, kernels.lanes), N);
    stride_ = round_up(tile, kernels.lanes);
    grow(kernels, stack);
    const std::vector<PackedLayer>& packed = stack.packed(kernels);
    for (std::int64_t first = 0; first < N; first += tile) {
      const std::int64_t count = std::min(tile, N - first);
      const std::int64_t vectors = ceil_div(count, kernels.lanes);
      load(x + first * stack.input_size(), count, stack.input_size(), in_);
      for (std::size_t l = 0; l < packed.size(); ++l) {
        const LayerSpec& spec = stack.specs()[l];
        const PackedDirection& weights = packed[l].front();
        const std::int64_t n = static_cast<std::int64_t>(l) * N + first;
        const std::int64_t P = spec.state_size(), H = spec.hidden_size;
        load(h + n * P, count, P, h_);
        if (spec.cell == Cell::lstm) load(c + n * H, count, H, c_);
        project_columns(kernels, weights.input, in_.data(), stride_, p_.data(), stride_, vectors);
        step_layer_columns(kernels, spec, weights, {p_.data(), stride_, col_.data()}, vectors,
                           h_.data(), c_.data(), next_.data(), unprojected_.data(), scratch_.data(),
                           stride_);
        store(next_, count, P, h_out + n * P);
        if (spec.cell == Cell::lstm) store(c_, count, H, c_out + n * H);
        std::swap(in_, next_);
      }
    }
  }

 private:
  void grow(const KernelTable& kernels, const Stack& stack) {
    std::int64_t widest = 0, most_rows = 0;
    for (const LayerSpec& spec : stack.specs()) {
      widest = std::max({widest, spec.input_size, spec.hidden_size});
      most_rows = std::max(most_rows, spec.gates() * spec.hidden_size);
    }
    for (AlignedFloats* buffer : {&in_, &next_, &h_, &c_, &unprojected_}) {
      if (buffer->size() < widest * stride_) buffer->reset(widest * stride_);
    }
    if (p_.size() < most_rows * stride_) p_.reset(most_rows * stride_);
    if (scratch_.size() < 2 * widest * stride_) scratch_.reset(2 * widest * stride_);
    col_.resize(static_cast<std::size_t>(stride_ / kernels.lanes));
    for (std::size_t v = 0; v < col_.size(); ++v) {
      col_[v] = static_cast<std::int32_t>(static_cast<std::int64_t>(v) * kernels.lanes);
    }
  }

  // Rows [count, size] to columns [size][stride_], and back.
  void load(const float* rows, std::int64_t count, std::int64_t size, AlignedFloats& out) const {
    for (std::int64_t column = 0; column < count; ++column) {
      for (std::int64_t i = 0; i < size; ++i) {
        out.data()[i * stride_ + column] = rows[column * size + i];
      }
    }
  }
  void store(const AlignedFloats& in, std::int64_t count, std::int64_t size, float* rows) const {
    for (std::int64_t column = 0; column < count; ++column) {
      for (std::int64_t i = 0; i < size; ++i) {
        rows[column * size + i] = in.data()[i * stride_ + column];
      }
    }
  }

  std::ptrdiff_t stride_ = 0;
  std::vector<std::int32_t> col_;
  AlignedFloats in_, next_, h_, c_;  // [widest][stride_]
  AlignedFloats p_;                  // [G*H][stride_]
  AlignedFloats unprojected_, scratch_;
};

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
  const bool lstm = specs().front().cell == Cell::lstm;
  if (lstm && (h0 == nullptr) != (c0 == nullptr)) {
    throw std::invalid_argument("state: expected both h0 and c0, or neither");
  }
  if (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != N) {
    throw std::invalid_argument("lengths: expected " + std::to_string(N) + " (rows of x), got " +
                                std::to_string(lengths.size()));
  }
  for (const std::int64_t length : lengths) {
    if (length < 0 || length > T) {
      throw std::invalid_argument("lengths: expected 0 to T=" + std::to_string(T) + ", got " +
                                  std::to_string(length));
    }
  }
  const KernelTable& kernels = active_kernels();
  const Batch batch{x, N, T, h0, c0, lengths, out, h_n, lstm ? c_n : nullptr};
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
  const bool lstm = first.cell == Cell::lstm;
  const std::int64_t P = first.state_size(), H = first.hidden_size;
  if (lstm && c_out != c) {
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
      layer.step(in, h + at * P, lstm ? c_out + at * H : nullptr, h_new);
      in = h_new;
    }
  }
}

}  // namespace slidecell
