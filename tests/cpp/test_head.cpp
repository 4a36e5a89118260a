// Heads of several layers and of means and variances: their activations against the C library's
// float64 on every instruction set, streams and monitors against the batch, and the C interface.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "c_api.h"
#include "cpu/active_kernels.h"
#include "layers/head.h"
#include "slidecell/cpu.hpp"
#include "slidecell/monitor.hpp"
#include "slidecell/stream.hpp"
#include "test.h"
#include "weights/head.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::kAllRows;
using test::kFeatures;
using test::kRows;
using test::ModelSpec;
using test::same;

constexpr float kSlope = 0.25f;

double expected(HeadActivation activation, double x) {
  const double pi = std::acos(-1.0);
  switch (activation) {
    case HeadActivation::linear:
      return x;
    case HeadActivation::relu:
      return std::max(0.0, x);
    case HeadActivation::tanh:
      return std::tanh(x);
    case HeadActivation::sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case HeadActivation::gelu:
      return x / 2.0 * std::erfc(-x / std::sqrt(2.0));
    case HeadActivation::gelu_tanh:
      return x / 2.0 * (1.0 + std::tanh(std::sqrt(2.0 / pi) * (x + 0.044715 * x * x * x)));
    case HeadActivation::leaky_relu:
      break;
  }
  return x < 0 ? static_cast<double>(kSlope) * x : x;
}

Floats numbers() {
  Floats x;
  for (int i = -800; i <= 800; ++i) x.push_back(static_cast<float>(i) / 40.0f);
  for (float size = 1e-30f; size < 1e38f; size *= 7.0f) {
    x.push_back(size);
    x.push_back(-size);
  }
  x.push_back(std::numeric_limits<float>::max());
  x.push_back(-std::numeric_limits<float>::max());
  return x;
}

void test_activations(const KernelTable& kernels) {
  Floats x = numbers();
  x.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(x.size()), kernels.lanes)));
  const std::int64_t vectors = static_cast<std::int64_t>(x.size()) / kernels.lanes;
  for (const auto& [name, activation] : head_activations_by_name()) {
    Floats out(x.size());
    kernels.activate({x.data(), out.data(), 0, 1, vectors, activation, kSlope});
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = expected(activation, static_cast<double>(x[i]));
      const double error = std::abs(static_cast<double>(out[i]) - want);
      worst = std::max(worst, error / std::max(1.0, std::abs(want)));
    }
    CHECK(worst < 1.5e-7);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::fill(x.begin(), x.begin() + kernels.lanes, nan);
    kernels.activate({x.data(), out.data(), 0, 1, 1, activation, kSlope});
    CHECK(std::isnan(out.front()));
    x = numbers();
    x.resize(out.size());
  }
}

Head random_head(std::int64_t depth, std::mt19937& rng) {
  std::vector<HeadLayer> layers;
  std::int64_t size = depth;
  for (const auto& [name, activation] : head_activations_by_name()) {
    const std::int64_t rows = size % 3 == 0 ? 17 : size + 16;
    HeadLayer layer;
    layer.activation = activation;
    layer.slope = kSlope;
    if (activation != HeadActivation::sigmoid) {  // which stands alone
      const double bound = 1.0 / std::sqrt(static_cast<double>(size));
      layer.linear = std::make_unique<Linear>(
          rows, size, test::detail::random_tensor({rows * size}, bound, rng).data,
          test::detail::random_tensor({rows}, bound, rng).data);
      size = rows;
    }
    layers.push_back(std::move(layer));
  }
  return {depth, std::move(layers)};
}

// One window at a time, or as columns: the same bits, whatever the number of columns.
void test_orientations(const KernelTable& kernels, std::mt19937& rng) {
  for (const std::int64_t depth : {1, 3, 17, 33, 64}) {
    const Head head = random_head(depth, rng);
    for (const std::int64_t vectors : {std::int64_t{1}, kernels.vector_step + 1}) {
      const std::int64_t columns = vectors * kernels.lanes;
      const Floats x = test::detail::random_tensor({depth * columns}, 2.0, rng).data;
      HeadColumns as_columns(kernels, head, columns);
      Floats out(static_cast<std::size_t>(head.rows() * columns));
      as_columns.run(x.data(), out.data(), vectors);
      HeadRow as_row(kernels, head);
      for (std::int64_t c = 0; c < columns; ++c) {
        Floats own(static_cast<std::size_t>(depth));
        for (std::int64_t k = 0; k < depth; ++k) {
          own[static_cast<std::size_t>(k)] = x[static_cast<std::size_t>(k * columns + c)];
        }
        const float* row = as_row.run(own.data());
        bool equal = true;
        for (std::int64_t r = 0; r < head.rows(); ++r) {
          equal = equal && same(row[r], out[static_cast<std::size_t>(r * columns + c)]);
        }
        CHECK(equal);
      }
    }
  }
}

ModelSpec spec_of(std::int64_t horizon) {
  ModelSpec spec;
  spec.horizon = horizon;
  LayerSpec layer;
  layer.input_size = kFeatures;
  layer.hidden_size = 9;
  spec.encoder = {layer};
  if (horizon == 0) spec.decoder = {layer};
  spec.head = {{33, "gelu"}, {0, "tanh"}, {kAllRows}};
  spec.gaussian = horizon > 0;
  spec.center = {0.5, 1.0, -2.0};
  spec.scale = {2.0, 0.5, 1.0};
  return spec;
}

void test_streams(std::mt19937& rng) {
  for (const std::int64_t horizon : {0, 1, 2}) {
    const SequenceModel model = test::random_model(spec_of(horizon), rng);
    const Floats rows = test::random_rows(rng);
    ScoreOptions options;
    options.kernel = Kernel::fma;
    options.reduction = horizon > 0 ? Reduction::nll : Reduction::mse;
    Floats want(kRows);
    model.score(SeriesView(rows.data(), kRows, kFeatures), {}, want.data(), options);
    CHECK(std::isfinite(want.back()));
    StreamOptions given;
    given.reduction = options.reduction;
    for (const std::int64_t entities : {1, 40}) {
      Stream stream(model, entities, given);
      Monitor monitor(model, entities, given);
      Floats got(kRows);
      Event event;
      for (std::int64_t r = 0; r < kRows; ++r) {
        const float* row = rows.data() + r * kFeatures;
        float& score = got[static_cast<std::size_t>(r)];
        CHECK(stream.push(entities - 1, row, score) == Status::ok);
        CHECK(monitor.push(0, row, event) == Status::ok && same(event.score, score));
      }
      CHECK(same(got, want));
    }
  }
}

void test_c_interface(std::mt19937& rng) {
  const test::Folder folder;
  const ModelFile file = test::random_file(spec_of(2), rng);
  const SequenceModel truth(file.metadata, file.tensors);
  write_model_file(folder.file("model"), file);
  const test::ModelHandle model = test::load(folder.file("model"));
  const Floats rows = test::random_rows(rng);
  const std::vector<double> rows64(rows.begin(), rows.end());
  const SeriesView series(rows.data(), kRows, kFeatures);

  ScoreOptions options;
  options.reduction = Reduction::nll;
  slidecell_options given = {};
  given.reduction = SLIDECELL_NLL;
  Floats want(kRows), got(kRows);
  truth.score(series, {}, want.data(), options);
  CHECK(slidecell_score(model.get(), rows.data(), kRows, nullptr, 0, &given, got.data()) ==
        SLIDECELL_OK);
  CHECK(same(got, want));

  const WindowPlan plan({0, kRows}, truth.window(), truth.horizon());
  const auto size = static_cast<std::size_t>(plan.size() * 2 * kFeatures);
  want.assign(size, 0.0f);
  truth.predict_log_variance(series, plan, want.data());
  got.assign(size, 7.0f);
  CHECK(slidecell_predict_log_variance(model.get(), rows.data(), kRows, nullptr, 0, 0, 0,
                                       got.data()) == SLIDECELL_OK);
  CHECK(same(got, want));
  got.assign(size, 7.0f);
  CHECK(slidecell_predict_log_variance_f64(model.get(), rows64.data(), kRows, nullptr, 0, 0, 0,
                                           got.data()) == SLIDECELL_OK);
  // A float64 row is scaled before it is rounded: near, not the same bits.
  for (std::size_t i = 0; i < size; ++i) {
    CHECK(std::isnan(got[i]) == std::isnan(want[i]));
    CHECK(std::isnan(got[i]) || std::abs(got[i] - want[i]) < 1e-5f);
  }

  write_model_file(folder.file("plain"), test::model_file(2, rng));
  const test::ModelHandle plain = test::load(folder.file("plain"));
  CHECK(slidecell_score(plain.get(), rows.data(), kRows, nullptr, 0, &given, got.data()) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(test::error_has("'nll' needs predicted variances"));
  CHECK(slidecell_predict_log_variance(plain.get(), rows.data(), kRows, nullptr, 0, 0, 0,
                                       got.data()) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(test::error_has("predict_log_variance: the model predicts no variances"));
  slidecell_stream* stream = nullptr;
  CHECK(slidecell_stream_create(plain.get(), 1, &given, &stream) == SLIDECELL_INVALID_ARGUMENT);
  given.reduction = 5;
  CHECK(slidecell_score(model.get(), rows.data(), kRows, nullptr, 0, &given, got.data()) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(test::error_has("reduction"));
}

}  // namespace

int main() {
  std::mt19937 rng(7);
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    test_activations(kernels_named(isa));
    test_orientations(kernels_named(isa), rng);
    test_streams(rng);
  }
  test_c_interface(rng);
  return test::result();
}
