#include <stdexcept>
#include <string>

#include "cpu/active_kernels.h"
#include "cpu/aligned.h"
#include "cpu/parallel.h"
#include "train/train_check.h"
#include "train/train_pack.h"
#include "train/train_tile.h"
#include "windows/require_pointer.h"

namespace slidecell {
namespace {

// One thread's buffers, and a tile's way through the steps.
class ForwardTile {
 public:
  ForwardTile(const KernelTable& kernels, const LayerSpec& spec, const AlignedFloats& packed,
              const TrainingInput& input, const TrainingOutput& output, float* saved)
      : kernels_(kernels),
        spec_(spec),
        packed_(packed),
        input_(input),
        output_(output),
        saved_(saved),
        x_(spec.input_size * kTrainTile),
        first_(2 * spec.hidden_size * kTrainTile),
        steps_(saved ? 0 : 3 * spec.hidden_size * kTrainTile) {}

  void run(std::int64_t index) {
    const TrainTile tile(kernels_, input_.N, index);
    const std::int64_t H = spec_.hidden_size;
    const bool has_c = spec_.has_c();
    const auto forward = kernels_.train.cells[form_of(spec_)].forward;
    const float *h = nullptr, *c = nullptr;
    if (input_.h0) {
      h = first_.data();
      to_columns(kernels_, input_.h0 + tile.first * H, H, tile.count, H, first_.data());
    }
    if (input_.c0) {
      c = first_.data() + H * kTrainTile;
      to_columns(kernels_, input_.c0 + tile.first * H, H, tile.count, H,
                 first_.data() + H * kTrainTile);
    }
    TrainStep step{};
    step.w = packed_.data();
    step.hidden = H;
    step.input = spec_.input_size;
    step.vectors = tile.vectors;
    step.activation = spec_.activation;
    step.x = x_.data();
    for (std::int64_t t = 0; t < input_.T; ++t) {
      const float* x = input_.x.data + tile.first * input_.x.row + t * input_.x.step;
      to_columns(kernels_, x, input_.x.row, tile.count, spec_.input_size, x_.data());
      step.h = h;
      step.c = c;
      place(step, index, t);
      forward(step);
      h = step.h_out;
      c = has_c ? step.c_out : nullptr;
      if (output_.out.data) {
        float* out = output_.out.data + tile.first * output_.out.row + t * output_.out.step;
        to_rows(kernels_, h, H, tile.count, out, output_.out.row);
      }
    }
    if (output_.h_n) to_rows(kernels_, h, H, tile.count, output_.h_n + tile.first * H, H);
    if (output_.c_n && c) to_rows(kernels_, c, H, tile.count, output_.c_n + tile.first * H, H);
  }

 private:
  // Where step t leaves its results.
  void place(TrainStep& step, std::int64_t index, std::int64_t t) {
    const std::int64_t size = spec_.hidden_size * kTrainTile;
    if (saved_) {
      const SavedStep<float> kept(saved_, spec_, index, input_.T, t);
      step.gates = kept.gates;
      step.h_out = kept.h;
      step.c_out = kept.c;
    } else {
      step.h_out = steps_.data() + t % 2 * size;
      step.c_out = steps_.data() + 2 * size;
    }
  }

  const KernelTable& kernels_;
  const LayerSpec& spec_;
  const AlignedFloats& packed_;
  const TrainingInput& input_;
  const TrainingOutput& output_;
  float* saved_;
  AlignedFloats x_;      // [I][kTrainTile]
  AlignedFloats first_;  // h0 and c0, [H][kTrainTile] each
  AlignedFloats steps_;  // where nothing is kept: h of two steps in turn, and c
};

}  // namespace

bool is_trainable(const LayerSpec& spec) {
  const CellTraits& traits = traits_of(spec);
  return spec.proj_size == 0 && traits.trains(spec.activation) &&
         traits.trains(spec.recurrent_activation);
}

std::int64_t training_saved_size(const LayerSpec& spec, std::int64_t N, std::int64_t T) {
  return train_tiles(N) * T * SavedStep<float>::rows(spec) * kTrainTile;
}

void check_training(const LayerSpec& spec, const DirectionWeights& weights,
                    const TrainingInput& input) {
  if (!is_trainable(spec)) {
    throw std::invalid_argument(
        "layer: expected an LSTM without projection or a GRU with reset_after, tanh and sigmoid, "
        "or an RNN with tanh or relu");
  }
  if (input.N < 0 || input.T < 1 || spec.input_size < 1 || spec.hidden_size < 1) {
    throw std::invalid_argument("x: expected [N, T, I] with T >= 1, I >= 1 and hidden_size >= 1");
  }
  const std::int64_t rows = spec.gates() * spec.hidden_size;
  const auto check = [](const char* name, Span<const float> w, std::int64_t expected, bool needed) {
    if (static_cast<std::int64_t>(w.size()) != expected && (needed || !w.empty())) {
      throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(expected) +
                                  " numbers, got " + std::to_string(w.size()));
    }
  };
  check("weight_ih", weights.w_ih, rows * spec.input_size, true);
  check("weight_hh", weights.w_hh, rows * spec.hidden_size, true);
  check("bias_ih", weights.b_ih, rows, false);
  check("bias_hh", weights.b_hh, rows, false);
  if (spec.has_c() && (input.h0 == nullptr) != (input.c0 == nullptr)) {
    throw std::invalid_argument("state: expected both h0 and c0, or neither");
  }
  require_pointer(input.x.data, input.N, "x");
}

void training_forward(const LayerSpec& spec, const DirectionWeights& weights,
                      const TrainingInput& input, const TrainingOutput& output, float* saved,
                      int num_threads) {
  check_training(spec, weights, input);
  const KernelTable& kernels = active_kernels();
  const AlignedFloats packed = pack_train_step(kernels, spec, weights);
  parallel_for(
      train_tiles(input.N), num_threads,
      [&] { return ForwardTile(kernels, spec, packed, input, output, saved); },
      [](ForwardTile& tile, std::int64_t index) { tile.run(index); });
}

}  // namespace slidecell
