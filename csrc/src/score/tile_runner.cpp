#include "score/tile_runner.h"

#include <algorithm>

namespace slidecell {

std::int64_t tile_vectors(const KernelTable& kernels, const ModelParts& model,
                          const KernelChoice& choice) {
  // h, h' and c of the widest layer should stay in a 32 KB to 48 KB L1 cache beside the weights
  // of a block, but a short tile loads and projects more of a window's rows per window.
  std::int64_t widest = 1;
  for (const Stack* stack : {model.encoder.get(), model.decoder.get()}) {
    if (!stack) continue;
    for (const LayerSpec& spec : stack->specs()) widest = std::max(widest, spec.hidden_size);
  }
  // Steps on codes are so short that the projected input should stay near, too.
  const std::int64_t windows = widest <= 64 && choice.products == Products::float32 ? 96 : 48;
  const std::int64_t vectors = std::max(kernels.vector_step, windows / kernels.lanes);
  if (on_tiles(choice.products)) return round_up(vectors, kernels.low_tiles->vector_step);
  if (choice.parts == 0) return vectors;
  const MatrixKernels& matrix = *kernels.matrix;
  const std::int64_t whole = round_up(vectors, matrix.vector_step);
  if (!matrix.has_tiles) return whole;
  // A matrix unit reads the parts of h once for every block of rows: they take half of the cache,
  // and the weights of a block the other half.
  constexpr std::int64_t kHalfOfL1 = 24 << 10;
  const std::int64_t pairs = round_up(ceil_div(widest, std::int64_t{2}), matrix.chunk);
  const std::int64_t group_bytes = choice.parts * pairs * matrix.lanes * 4;
  const std::int64_t fit = kHalfOfL1 / group_bytes / matrix.vector_step * matrix.vector_step;
  return std::max(matrix.vector_step, std::min(whole, fit));
}

MixRule mix_rule(const KernelTable& kernels, const ModelParts& model, const KernelChoice& choice) {
  // A mixed vector projects every row of its windows, one of an entity's own hardly any.
  double shared = 0.0, steps = 0.0;
  for (const Stack* stack : {model.encoder.get(), model.decoder.get()}) {
    if (!stack) continue;
    for (const LayerSpec& spec : stack->specs()) {
      const double gates = static_cast<double>(spec.gates() * spec.hidden_size);
      const double input = gates * static_cast<double>(spec.input_size);
      steps += gates * static_cast<double>(spec.state_size());
      if (shared == 0.0) {
        shared = input;
      } else {
        steps += input;
      }
    }
  }
  const auto lanes = static_cast<double>(kernels.lanes);
  const auto most = static_cast<std::int64_t>(lanes * steps / (steps + shared));
  return {tile_vectors(kernels, model, choice), model.input_size(),
          std::max<std::int64_t>(1, most)};
}

TileRunner::TileRunner(const ModelParts& model, const KernelTable& kernels,
                       const KernelChoice& choice, const SeriesView& series, const WindowPlan& plan,
                       Which which)
    : model_(model),
      max_vectors_(tile_vectors(kernels, model, choice)),
      tile_(kernels, series, model.scaler(), plan, max_vectors_, which),
      encoder_(make_tile_stack(kernels, *model.encoder, choice, max_vectors_)),
      input_(kernels, encoder_->bottom(), tile_, max_vectors_),
      head_(kernels, *model.head, stride()),
      pred_(model.head->rows() * max_vectors_ * kernels.lanes) {
  if (model.decoder) {
    decoder_ = make_tile_stack(kernels, *model.decoder, choice, max_vectors_);
    code_ = std::make_unique<ConstantInput>(kernels, decoder_->bottom(), stride());
  }
}

void TileRunner::load(const TileWindows& windows) {
  tile_.load(windows);
  input_.begin();
}

const float* TileRunner::encode() {
  encoder_->clear();
  return encoder_->run(input_, model_.window, tile_.size(), nullptr);
}

// The head on every decoder step from first_row on.
class TileRunner::DecoderHead final : public StepSink {
 public:
  DecoderHead(TileRunner& runner, PredictionSink& sink, std::int64_t first_row)
      : runner_(runner), sink_(sink), first_row_(first_row) {}
  void on_step(std::int64_t t, const float* h) override {
    if (t < first_row_) return;
    TileRunner& r = runner_;
    r.head_.run(h, r.pred_.data(), r.tile_.size());
    sink_.on_row(t, r.pred_.data());
  }

 private:
  TileRunner& runner_;
  PredictionSink& sink_;
  std::int64_t first_row_;
};

void TileRunner::predict(PredictionSink& sink, std::int64_t first_row) {
  const float* code = encode();
  if (decoder_) {
    code_->set(code, stride(), tile_.size());
    DecoderHead head(*this, sink, first_row);
    decoder_->clear();
    decoder_->run(*code_, model_.window, tile_.size(), &head);
    return;
  }
  head_.run(code, pred_.data(), tile_.size());
  for (std::int64_t k = first_row; k < model_.horizon; ++k) {
    sink.on_row(k, pred_.data() + k * model_.num_targets() * stride());
  }
}

}  // namespace slidecell
