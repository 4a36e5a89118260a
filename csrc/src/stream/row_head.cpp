#include "stream/row_head.h"

#include <algorithm>

#include "score/error_sum.h"
#include "score/option_rules.h"

namespace slidecell {

RowErrors::RowErrors(const ModelParts& model, const KernelTable& kernels, Reduction reduction)
    : model_(model), kernels_(kernels), reduction_(reduction) {
  if (whitens(reduction)) {
    model.whiten->packed(kernels);
    const std::int64_t padded = round_up(model.whiten->rows(), kernels.lanes);
    errors_.reset(padded);
    whitened_.reset(padded);
  }
}

void RowErrors::add(std::int64_t row, const float* pred, const float* truth) {
  const std::int64_t T = model_.num_targets();
  ErrorRow a{sum_, pred, T, truth, model_.targets.data(), nullptr, nullptr, nullptr};
  switch (reduction_) {
    case Reduction::mse:
      sum_ = kernels_.squared_error_row(a);
      break;
    case Reduction::mae:
      sum_ = kernels_.absolute_error_row(a);
      break;
    case Reduction::nll:
      a.log_variance = pred + model_.head_size();
      sum_ = kernels_.gaussian_error_row(a);
      break;
    case Reduction::calibrated:
      a.slope = model_.slope.data() + row * T;
      a.intercept = model_.intercept.data() + row * T;
      sum_ = kernels_.calibrated_error_row(a);
      break;
    case Reduction::mahalanobis:
      float* errors = errors_.data() + (model_.forecasts() ? row * T : 0);
      for (std::int64_t i = 0; i < T; ++i) errors[i] = pred[i] - truth[model_.targets[i]];
      if (model_.forecasts() && row + 1 < model_.horizon) return;
      project_row(kernels_, model_.whiten->packed(kernels_), errors_.data(), whitened_.data());
      a = {sum_,    whitened_.data(), model_.whiten->rows(), nullptr, nullptr, nullptr,
           nullptr, nullptr};
      sum_ = kernels_.squared_error_row(a);
      break;
  }
}

float RowErrors::mean(std::int64_t rows) const {
  return sum_ * static_cast<float>(1.0 / error_divisor(model_, reduction_, false, rows));
}

RowHead::RowHead(const ModelParts& model, const KernelTable& kernels, Products products)
    : model_(model), kernels_(kernels), head_(kernels, *model.head) {
  if (!model.decoder) return;
  const Stack& decoder = *model.decoder;
  if (decoder.bidirectional()) {
    columns_ = std::make_unique<StackColumns>(kernels, decoder, 1, products);
    input_ = std::make_unique<ConstantInput>(kernels, columns_->bottom(), kernels.lanes);
    column_.reset(decoder.input_size() * kernels.lanes);
    sequence_.reset(model.window * decoder.output_size());
    decode_by_columns(column_.data());  // hidden sequences get their buffers in the first run
    return;
  }
  const std::vector<PackedLayer>& packed = decoder.packed(kernels, products);
  for (std::size_t l = 0; l < packed.size(); ++l) {
    const LayerSpec& spec = decoder.specs()[l];
    scratch_.emplace_back(LayerRow::scratch_size(kernels, spec));
    layers_.emplace_back(kernels, spec, packed[l].front(), scratch_.back().data());
    h_.emplace_back(spec.state_size());
    c_.emplace_back(spec.hidden_size);
  }
}

void RowHead::start_decoder() { started_ = false; }

const float* RowHead::decoder_step(const float* code) {
  const float* x = code;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layers_[l].step(x, started_ ? h_[l].data() : nullptr, c_[l].data(), h_[l].data());
    x = h_[l].data();
  }
  started_ = true;
  return x;
}

// Keeps the first column of every decoder step.
class RowHead::ColumnSink final : public StepSink {
 public:
  ColumnSink(float* out, std::int64_t size, std::ptrdiff_t stride)
      : out_(out), size_(size), stride_(stride) {}
  void on_step(std::int64_t t, const float* h) override {
    for (std::int64_t j = 0; j < size_; ++j) out_[t * size_ + j] = h[j * stride_];
  }

 private:
  float* out_;
  std::int64_t size_;
  std::ptrdiff_t stride_;
};

void RowHead::decode_by_columns(const float* code) {
  for (std::int64_t j = 0; j < model_.decoder->input_size(); ++j) {
    std::fill_n(column_.data() + j * kernels_.lanes, kernels_.lanes, code[j]);
  }
  input_->set(column_.data(), kernels_.lanes, 1);
  columns_->clear();
  ColumnSink sink(sequence_.data(), model_.decoder->output_size(), columns_->stride());
  columns_->run(*input_, model_.window, 1, &sink);
}

}  // namespace slidecell
