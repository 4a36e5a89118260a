#include "small_models.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <vector>

#include "slidecell/error.hpp"
#include "slidecell/monitor.hpp"
#include "slidecell/stream.hpp"

namespace slidecell::fuzz {
namespace {

constexpr double kBudget = 40000;  // products per input

LayerSpec small_layer(std::int64_t input_size, std::mt19937& rng) {
  LayerSpec layer = test::random_layer(input_size, rng);
  layer.hidden_size = static_cast<std::int64_t>(1 + rng() % 3);
  layer.proj_size = layer.proj_size > 0 ? layer.hidden_size / 2 : 0;
  return layer;
}

// What a caller must be ready for; anything else ends the fuzzer.
template <class Call>
bool works(Call call) {
  try {
    call();
    return true;
  } catch (const std::invalid_argument&) {
  } catch (const UnsupportedError&) {
  }
  return false;
}

void require_same(float streamed, float scored, const char* what) {
  if (test::same(streamed, scored)) return;
  std::fprintf(stderr, "%s: %.9g, but the batch has %.9g\n", what, static_cast<double>(streamed),
               static_cast<double>(scored));
  std::abort();
}

}  // namespace

test::ModelSpec small_spec(std::uint32_t number) {
  std::mt19937 rng(number);
  test::ModelSpec spec;
  const auto features = static_cast<std::int64_t>(1 + rng() % 3);
  spec.window = static_cast<std::int64_t>(1 + rng() % 5);
  spec.horizon = static_cast<std::int64_t>(rng() % 3);
  for (std::size_t l = 0; l < 1 + number % 2; ++l) {
    spec.encoder.push_back(small_layer(features, rng));
  }
  if (spec.horizon == 0) spec.decoder.push_back(small_layer(1, rng));
  if (rng() % 3 == 0) spec.targets.push_back(features - 1);
  if (rng() % 2 == 0) {
    spec.center.assign(static_cast<std::size_t>(features), 0.25);
    spec.scale.assign(static_cast<std::size_t>(features), 1.5);
  }
  spec.error = rng() % 3 == 0;
  spec.bias = rng() % 4 != 0;
  if (number >= 1000 && rng() % 2 == 0) {  // the numbers below are those of the corpora
    static const char* const kActivations[] = {"linear", "relu",      "tanh",      "sigmoid",
                                               "gelu",   "gelu_tanh", "leaky_relu"};
    for (std::size_t n = rng() % 4; n > 0; --n) {
      spec.head.push_back({static_cast<std::int64_t>(rng() % 4), kActivations[rng() % 7], 0.5});
    }
    if (!spec.head.empty()) spec.head.push_back({test::kAllRows, kActivations[rng() % 7], 0.5});
    spec.gaussian = spec.horizon > 0 && rng() % 2 == 0;
  }
  return spec;
}

ModelFile small_file(std::uint32_t number) {
  std::mt19937 rng(number);
  ModelFile file = test::random_file(small_spec(number), rng);
  static const char* const kDecisions[] = {
      R"("smoothing":{"kind":"ewma","alpha":0.5},"threshold":{"kind":"fixed","value":0.5})",
      R"("smoothing":{"kind":"moving_average","n":3},"threshold":{"kind":"quantile","value":1})",
      R"("smoothing":null,"threshold":{"kind":"spot"})"};
  const std::string none = R"("smoothing":null,"threshold":null)";
  if (number % 4 < 3) {
    file.metadata.replace(file.metadata.find(none), none.size(), kDecisions[number % 4]);
  }
  return file;
}

bool run_model(const SequenceModel& model, std::size_t weights, std::uint32_t seed) {
  const std::int64_t F = model.input_size(), T = model.num_targets();
  const auto W = static_cast<double>(model.window()), K = static_cast<double>(model.horizon());
  const double rows = W + K + 4, step = static_cast<double>(weights) + 20;
  if (rows * W * step > kBudget || rows * static_cast<double>(F) > kBudget) return false;

  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  const auto S = static_cast<std::int64_t>(rows);
  test::Floats series(static_cast<std::size_t>(S * F));
  for (float& value : series) value = normal(rng);
  // A hole at the first row leaves windows behind it whole.
  if (seed % 3 == 0) series[0] = std::numeric_limits<float>::quiet_NaN();
  if (seed % 7 == 0) series.back() = 3e38f;
  const SeriesView view(series.data(), S, F);

  ScoreOptions options;
  options.num_threads = 1;
  options.kernel = Kernel::fma;
  options.reduction = static_cast<Reduction>(seed % 5);
  options.aggregate = static_cast<Aggregate>(seed / 3 % 2);
  test::Floats scores(static_cast<std::size_t>(S));
  const bool scored = works([&] { model.score(view, {}, scores.data(), options); });

  // One input in four goes through each of the other ways, or the time would go there.
  const std::uint32_t way = seed / 11 % 4;
  const WindowPlan plan({0, S}, model.window(), model.horizon());
  const std::int64_t predicted = model.horizon() > 0 ? model.horizon() : model.window();
  const std::int64_t N = plan.size();
  test::Floats predictions(static_cast<std::size_t>(N * predicted * T));
  if (way == 0) works([&] { model.predict(view, plan, predictions.data(), 1); });
  test::Floats codes(static_cast<std::size_t>(N * model.code_size()));
  if (way == 1) works([&] { model.encode(view, plan, codes.data(), 1); });

  ScoreOptions other;
  other.num_threads = 1;
  other.precision = static_cast<Precision>(seed % 4);
  other.aggregate = static_cast<Aggregate>(seed % 3);
  other.per_feature = seed % 2 == 0;
  other.stride = 1 + seed % 3;
  test::Floats others(static_cast<std::size_t>(S * (other.per_feature ? T : 1)));
  if (way == 2) works([&] { model.score(view, {}, others.data(), other); });
  options.windows = Windows::carried;
  const bool carried = works([&] { model.score(view, {}, others.data(), options); });

  // Many entities lie in blocks, few do not.
  const std::int64_t entities = seed % 4 == 0 ? 40 : 1 + seed % 2;
  StreamOptions streaming;
  streaming.reduction = options.reduction;
  streaming.aggregate = options.aggregate;
  streaming.mode = carried && seed % 5 < 2 ? Windows::carried : Windows::exact;
  const bool exact = streaming.mode == Windows::exact;
  const test::Floats& batch = exact ? scores : others;
  const bool known = exact ? scored : carried;  // whether it has scores
  works([&] {
    Stream stream(model, entities, streaming);
    for (std::int64_t s = 0; s < S; ++s) {
      float score = 0;
      if (stream.push(entities - 1, series.data() + s * F, score) != Status::ok) std::abort();
      if (known) require_same(score, batch[static_cast<std::size_t>(s)], "stream");
    }
    test::Floats next(static_cast<std::size_t>(predicted * T));
    const Status status = stream.predict_next(entities - 1, next.data());
    if (status != (model.horizon() > 0 ? Status::ok : Status::not_a_forecaster)) std::abort();
  });
  if (way < 3) return true;
  works([&] {
    Monitor monitor(model, 1, streaming);
    for (std::int64_t s = 0; s < S; ++s) {
      Event event;
      if (monitor.push(0, series.data() + s * F, event) != Status::ok) std::abort();
      if (known) require_same(event.score, batch[static_cast<std::size_t>(s)], "monitor");
    }
  });
  return true;
}

}  // namespace slidecell::fuzz
