// One model, many std::threads: scoring, streaming and stepping in parallel, with weights that are
// packed by whoever comes first and with an ISA that changes meanwhile. Run under the thread
// sanitizer too.
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "models.h"
#include "slidecell/cpu.hpp"
#include "slidecell/recurrent.hpp"
#include "slidecell/stream.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

constexpr std::size_t kThreads = 4;
constexpr std::int64_t kRows = 60, kFeatures = 3;

// Checks run on the main thread: a thread only says whether all was well.
void run_threads(const std::function<bool(std::size_t)>& work) {
  std::array<bool, kThreads> good{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&good, &work, i] { good[i] = work(i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool ok : good) CHECK(ok);
}

std::vector<ModelSpec> specs() {
  LayerSpec lstm, before, both;
  lstm.input_size = before.input_size = both.input_size = kFeatures;
  lstm.hidden_size = 9;
  before.cell = Cell::gru;
  before.hidden_size = 17;
  before.reset_after = false;
  both.hidden_size = 5;
  both.bidirectional = true;
  ModelSpec forecaster, autoencoder, bidirectional;
  forecaster.encoder = {lstm, before};
  forecaster.error = true;
  autoencoder.horizon = 0;
  autoencoder.encoder = {lstm};
  autoencoder.decoder = {before};
  bidirectional.horizon = 0;
  bidirectional.encoder = {both};
  bidirectional.decoder = {both, lstm};
  return {forecaster, autoencoder, bidirectional};
}

Floats score(const SequenceModel& model, const Floats& series, Reduction reduction) {
  ScoreOptions options;
  options.reduction = reduction;
  options.num_threads = 1;
  Floats scores(kRows);
  model.score(SeriesView(series.data(), kRows, kFeatures), {}, scores.data(), options);
  return scores;
}

Floats stream_scores(const SequenceModel& model, const Floats& series, std::int64_t entities,
                     Reduction reduction) {
  StreamOptions options;
  options.reduction = reduction;
  Stream stream(model, entities, options);
  stream.set_background(entities == 1);
  Floats scores(kRows);
  for (std::int64_t r = 0; r < kRows; ++r) {
    stream.push(entities - 1, series.data() + r * kFeatures, scores[static_cast<std::size_t>(r)]);
    if (r % 2 == 0) stream.advance();
    if (r == kRows / 2) stream.set_background(false);
  }
  return scores;
}

// A fresh model each time, so that the threads race to pack it.
void test_shared_model(const ModelSpec& spec, const Floats& series) {
  std::mt19937 rng(1);
  const ModelFile file = test::random_file(spec, rng);
  const SequenceModel reference(file.metadata, file.tensors);
  const Reduction reduction = spec.error ? Reduction::mahalanobis : Reduction::mse;
  const Floats expected = score(reference, series, reduction);
  const SequenceModel model(file.metadata, file.tensors);
  run_threads([&](std::size_t i) {
    if (i % 2 == 0) return same(score(model, series, reduction), expected);
    return same(stream_scores(model, series, i == 1 ? 1 : 20, reduction), expected);
  });
}

// Each call runs on one ISA from start to end, whichever that is.
void test_set_isa_meanwhile(const ModelSpec& spec, const Floats& series) {
  const std::vector<std::string> isas = available_isas();
  std::mt19937 rng(1);
  const SequenceModel model = test::random_model(spec, rng);
  std::vector<Floats> expected;
  for (const std::string& isa : isas) {
    set_isa(isa);
    expected.push_back(score(model, series, Reduction::mse));
  }
  const auto is_expected = [&](const Floats& got) {
    for (const Floats& scores : expected) {
      if (same(got, scores)) return true;
    }
    return false;
  };
  run_threads([&](std::size_t i) {
    for (std::size_t k = 0; k < 30; ++k) {
      if (i == 0) {
        set_isa(isas[k % isas.size()]);
        continue;
      }
      const bool batch = i == 1;
      const Floats got = batch ? score(model, series, Reduction::mse)
                               : stream_scores(model, series, i == 2 ? 1 : 20, Reduction::mse);
      if (!is_expected(got)) return false;
    }
    return true;
  });
}

void test_shared_recurrent() {
  LayerSpec spec;
  spec.input_size = kFeatures;
  spec.hidden_size = 9;
  std::mt19937 rng(2);
  const Floats w_ih = test::detail::random_tensor({36, kFeatures}, 0.3, rng).data;
  const Floats w_hh = test::detail::random_tensor({36, 9}, 0.3, rng).data;
  LayerWeights weights;
  weights.forward = {w_ih, w_hh, {}, {}, {}};
  const auto steps = [](const Recurrent& recurrent, std::int64_t N) {
    const Floats x(static_cast<std::size_t>(N * kFeatures), 0.5f);
    Floats h(static_cast<std::size_t>(N * 9)), c(h.size());
    for (int t = 0; t < 20; ++t) {
      recurrent.step(x.data(), N, h.data(), c.data(), h.data(), c.data());
    }
    return h;
  };
  const Recurrent reference({spec}, {weights});
  const std::array<std::int64_t, kThreads> rows = {1, 2, 40, 130};
  std::vector<Floats> expected;
  for (const std::int64_t N : rows) expected.push_back(steps(reference, N));
  const Recurrent recurrent({spec}, {weights});
  run_threads([&](std::size_t i) { return same(steps(recurrent, rows[i]), expected[i]); });
}

}  // namespace

int main() {
  std::mt19937 rng(4);
  const Floats series = test::detail::random_tensor({kRows, kFeatures}, 1.0, rng).data;
  // The very first use of the library is a race, too.
  run_threads([](std::size_t) { return !active_isa().empty() && !available_isas().empty(); });
  for (const ModelSpec& spec : specs()) {
    for (const std::string& isa : available_isas()) {
      set_isa(isa);
      test_shared_model(spec, series);
    }
    test_shared_recurrent();
    test_set_isa_meanwhile(spec, series);
  }
  return slidecell::test::result();
}
