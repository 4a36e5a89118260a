#include <algorithm>
#include <utility>

#include "cpu/active_kernels.h"
#include "cpu/aligned.h"
#include "cpu/parallel.h"
#include "train/train_check.h"
#include "train/train_pack.h"
#include "train/train_tile.h"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

// The weights' gradients are sums over tiles. Tiles are shared out among so many sums, each in
// order, and the sums are added in order: the result does not depend on threads. More of them
// would keep more threads busy and cost more memory.
constexpr std::int64_t kMostSums = 16;
constexpr std::int64_t kMostSumFloats = std::int64_t{1} << 24;

// One window's step as AddProducts::z has it: h before the step, then x and a one for the biases.
struct ProductRow {
  std::int64_t hidden;  // floats of h, rounded up to lanes
  std::int64_t size;

  ProductRow(const KernelTable& kernels, const LayerSpec& spec)
      : hidden(round_up(spec.hidden_size, kernels.lanes)),
        size(hidden + round_up(spec.input_size + 1, kernels.lanes)) {}
};

struct BackwardCall {
  const KernelTable& kernels;
  const LayerSpec& spec;
  const TrainingInput& input;
  const float* saved;
  const OutputGradients& given;
  const InputGradients& wanted;
  AlignedFloats recurrent;  // W_hh transposed
  AlignedFloats inputs;     // W_ih transposed, where x's gradient is wanted
  ProductRow row;
  std::int64_t gate_rows;  // G*H, rounded up to product_rows
  std::int64_t num_sums;
  AlignedFloats sums;  // [num_sums][gate_rows][row.size]; empty: no weight's gradient is wanted

  float* sum(std::int64_t i) { return sums.data() + i * gate_rows * row.size; }
};

// One thread's buffers, and a tile's way back through the steps.
class BackwardTile {
 public:
  explicit BackwardTile(BackwardCall& call)
      : call_(call),
        kernels_(call.kernels),
        traits_(traits_of(call.spec)),
        H_(call.spec.hidden_size),
        I_(call.spec.input_size),
        first_(2 * H_ * kTrainTile),
        d_state_(H_ * kTrainTile),
        d_out_(H_ * kTrainTile),
        d_gates_(call.gate_rows * kTrainTile),
        d_next_(call.gate_rows * kTrainTile),
        rows_(kTrainTile * call.row.size),
        columns_(std::max(H_, I_) * kTrainTile) {
    for (std::int64_t n = 0; n < kTrainTile; ++n) {
      rows_.data()[n * call.row.size + call.row.hidden + I_] = 1.0f;
    }
  }

  // sums [gate_rows][row.size] or null.
  void run(std::int64_t index, float* sums) {
    const TrainTile tile(kernels_, call_.input.N, index);
    begin(tile);
    for (std::int64_t t = call_.input.T - 1; t >= 0; --t) {
      step(tile, t);
      if (sums) add_products(tile, t, sums);
      if (call_.wanted.x.data) input_gradient(tile, t);
      std::swap(d_gates_, d_next_);
    }
    state_gradients(tile);
  }

 private:
  // The states that the tile starts from, and the gradient of the one that it ends with.
  void begin(const TrainTile& tile) {
    const std::int64_t at = tile.first * H_;
    if (call_.input.h0) {
      to_columns(kernels_, call_.input.h0 + at, H_, tile.count, H_, first_.data());
    }
    if (call_.input.c0) {
      to_columns(kernels_, call_.input.c0 + at, H_, tile.count, H_, c0());
    }
    if (call_.given.c_n) {
      to_columns(kernels_, call_.given.c_n + at, H_, tile.count, H_, d_state_.data());
    } else {
      std::fill_n(d_state_.data(), H_ * kTrainTile, 0.0f);
    }
  }

  float* c0() { return first_.data() + H_ * kTrainTile; }
  // h and c before step t; null: zero.
  const float* h_before(const TrainTile& tile, std::int64_t t) {
    return t > 0 ? saved(tile, t - 1).h : call_.input.h0 ? first_.data() : nullptr;
  }
  const float* c_before(const TrainTile& tile, std::int64_t t) {
    return t > 0 ? saved(tile, t - 1).c : call_.input.c0 ? c0() : nullptr;
  }
  SavedStep<const float> saved(const TrainTile& tile, std::int64_t t) const {
    return {call_.saved, call_.spec, tile.index, call_.input.T, t};
  }

  void step(const TrainTile& tile, std::int64_t t) {
    const SavedStep<const float> kept = saved(tile, t);
    BackwardStep a{};
    a.w = call_.recurrent.data();
    a.hidden = H_;
    a.vectors = tile.vectors;
    a.gates = kept.gates;
    a.h = kept.h;
    a.h_before = h_before(tile, t);
    if (traits_.has_c) a.c_before = c_before(tile, t);
    a.d_next = t + 1 < call_.input.T ? d_next_.data() : nullptr;
    a.d_out = outside_gradient(tile, t);
    a.d_state = d_state_.data();
    a.d_gates = d_gates_.data();
    a.activation = call_.spec.activation;
    kernels_.train.cells[form_of(call_.spec)].backward(a);
  }

  // Of h after step t, from the outputs: [H][kTrainTile], or null where there is none.
  const float* outside_gradient(const TrainTile& tile, std::int64_t t) {
    const Sequence<const float>& out = call_.given.out;
    const bool last = t + 1 == call_.input.T && call_.given.h_n;
    if (last) {
      to_columns(kernels_, call_.given.h_n + tile.first * H_, H_, tile.count, H_, d_out_.data());
    }
    if (out.data) {
      float* columns = last ? columns_.data() : d_out_.data();
      to_columns(kernels_, out.data + tile.first * out.row + t * out.step, out.row, tile.count, H_,
                 columns);
      for (std::int64_t k = 0; last && k < H_ * kTrainTile; ++k) d_out_.data()[k] += columns[k];
    }
    return last || out.data ? d_out_.data() : nullptr;
  }

  void add_products(const TrainTile& tile, std::int64_t t, float* sums) {
    const ProductRow& row = call_.row;
    const float* x = call_.input.x.data + tile.first * call_.input.x.row + t * call_.input.x.step;
    for (std::int64_t n = 0; n < tile.count; ++n) {
      std::copy_n(x + n * call_.input.x.row, I_, rows_.data() + n * row.size + row.hidden);
    }
    AddProducts a{};
    needed_next(tile, t, a);
    a.d = d_gates_.data();
    a.z_stride = a.sums_stride = row.size;
    a.columns = tile.count;
    // All gates: a GRU's m and the one next to x give the gradient of its second candidate bias.
    a.rows = traits_.tile_gates * H_;
    a.z = rows_.data() + row.hidden;
    a.width = I_ + 1;
    a.sums = sums + row.hidden;
    a.ahead = kernels_.train.add_products(a);
    if (const float* h = h_before(tile, t)) {
      to_rows(kernels_, h, H_, tile.count, rows_.data(), row.size);
      a.rows = traits_.recurrent.count * H_;
      a.z = rows_.data();
      a.width = H_;
      a.sums = sums;
      kernels_.train.add_products(a);
    }
  }

  // What the next step reads first: the gates of step t - 1, and the states before it, which lie
  // in front of them; or those of the next tile's last step. From main memory they would cost a
  // tenth of the pass.
  void needed_next(const TrainTile& tile, std::int64_t t, AddProducts& a) const {
    const std::int64_t size = SavedStep<float>::rows(call_.spec) * kTrainTile;
    const std::int64_t gates = traits_.tile_gates * H_ * kTrainTile, T = call_.input.T;
    const std::int64_t next = t > 0 ? tile.index * T + t - 1 : (tile.index + 2) * T - 1;
    if (next >= train_tiles(call_.input.N) * T) return;
    a.ahead = call_.saved + next * size - std::min(next, std::int64_t{1}) * (size - gates);
    a.ahead_end = call_.saved + next * size + (t > 0 ? gates : size);
  }

  void input_gradient(const TrainTile& tile, std::int64_t t) {
    const TrainGates& gates = traits_.input;
    const Sequence<float>& x = call_.wanted.x;
    kernels_.project({call_.inputs.data(), I_, gates.count * H_,
                      d_gates_.data() + gates.first * H_ * kTrainTile, kTrainTile, columns_.data(),
                      kTrainTile, tile.vectors});
    to_rows(kernels_, columns_.data(), I_, tile.count, x.data + tile.first * x.row + t * x.step,
            x.row);
  }

  // After step 0, whose gate gradients are in d_next_.
  void state_gradients(const TrainTile& tile) {
    const std::int64_t at = tile.first * H_;
    if (call_.wanted.c0) {
      to_rows(kernels_, d_state_.data(), H_, tile.count, call_.wanted.c0 + at, H_);
    }
    if (!call_.wanted.h0) return;
    kernels_.project({call_.recurrent.data(), H_, traits_.recurrent.count * H_, d_next_.data(),
                      kTrainTile, columns_.data(), kTrainTile, tile.vectors});
    if (traits_.carries_h) {
      for (std::int64_t k = 0; k < H_ * kTrainTile; ++k) columns_.data()[k] += d_state_.data()[k];
    }
    to_rows(kernels_, columns_.data(), H_, tile.count, call_.wanted.h0 + at, H_);
  }

  BackwardCall& call_;
  const KernelTable& kernels_;
  const CellTraits& traits_;
  std::int64_t H_, I_;
  AlignedFloats first_;             // h0 and c0, [H][kTrainTile] each
  AlignedFloats d_state_, d_out_;   // [H][kTrainTile]
  AlignedFloats d_gates_, d_next_;  // [gate_rows][kTrainTile] of this step and of the one after
  AlignedFloats rows_;              // [kTrainTile][row.size]
  AlignedFloats columns_;           // [H or I][kTrainTile]
};

// Adds up the sums of one row of gates, and writes it where torch has it.
class SumRows {
 public:
  explicit SumRows(BackwardCall& call) : call_(call), total_(call.row.size) {}

  void run(std::int64_t row) {
    const std::int64_t H = call_.spec.hidden_size, I = call_.spec.input_size;
    const std::int64_t size = call_.row.size;
    std::copy_n(call_.sum(0) + row * size, size, total_.data());
    for (std::int64_t i = 1; i < call_.num_sums; ++i) {
      const float* sum = call_.sum(i) + row * size;
      for (std::int64_t k = 0; k < size; ++k) total_.data()[k] += sum[k];
    }
    const InputGradients& wanted = call_.wanted;
    const CellTraits& traits = traits_of(call_.spec);
    const float* x = total_.data() + call_.row.hidden;
    const std::int64_t gate = row / H, unit = row % H;
    const auto torch_row = [&](const TrainGates& gates) {
      const bool enters = gate >= gates.first && gate < gates.first + gates.count;
      return enters ? gates.torch_gate(gate - gates.first) * H + unit : -1;
    };
    if (const std::int64_t r = torch_row(traits.input); r >= 0) {
      if (wanted.w_ih) std::copy_n(x, I, wanted.w_ih + r * I);
      if (wanted.b_ih) wanted.b_ih[r] = x[I];
    }
    if (const std::int64_t r = torch_row(traits.recurrent); r >= 0) {
      if (wanted.w_hh) std::copy_n(total_.data(), H, wanted.w_hh + r * H);
      if (wanted.b_hh) wanted.b_hh[r] = x[I];
    }
  }

 private:
  BackwardCall& call_;
  AlignedFloats total_;  // [row.size]
};

}  // namespace

void training_backward(const LayerSpec& spec, const DirectionWeights& weights,
                       const TrainingInput& input, const float* saved, const OutputGradients& given,
                       const InputGradients& wanted, int num_threads) {
  check_training(spec, weights, input);
  require_pointer(saved, input.N, "saved");
  const KernelTable& kernels = active_kernels();
  const CellTraits& traits = traits_of(spec);
  const std::int64_t H = spec.hidden_size, tiles = train_tiles(input.N);
  BackwardCall call{kernels,
                    spec,
                    input,
                    saved,
                    given,
                    wanted,
                    pack_transposed(kernels, traits.recurrent, H, weights.w_hh.data(), H),
                    {},
                    ProductRow(kernels, spec),
                    round_up(traits.tile_gates * H, kernels.train.product_rows),
                    0,
                    {}};
  if (wanted.x.data) {
    call.inputs = pack_transposed(kernels, traits.input, H, weights.w_ih.data(), spec.input_size);
  }
  const std::int64_t sum_size = call.gate_rows * call.row.size;
  const std::int64_t most = std::clamp(kMostSumFloats / sum_size, std::int64_t{1}, kMostSums);
  const std::int64_t parts = std::clamp(tiles, std::int64_t{1}, most);
  const bool sums = wanted.w_ih || wanted.w_hh || wanted.b_ih || wanted.b_hh;
  if (sums) {
    call.num_sums = parts;
    call.sums.reset(parts * sum_size);
  }
  // Without sums every tile is a task of its own.
  const std::int64_t tasks = sums ? parts : tiles;
  parallel_for(
      tasks, num_threads, [&] { return BackwardTile(call); },
      [&](BackwardTile& tile, std::int64_t i) {
        for (std::int64_t k = i * tiles / tasks; k < (i + 1) * tiles / tasks; ++k) {
          tile.run(k, sums ? call.sum(i) : nullptr);
        }
      });
  if (!sums) return;
  parallel_for(
      traits.tile_gates * H, num_threads, [&] { return SumRows(call); },
      [](SumRows& rows, std::int64_t row) { rows.run(row); });
}

}  // namespace slidecell
