// Measures a model's streams on random rows:
//   slidecell_simulate MODEL [--rows N] [--entities N] [--rounds N] [--threads N]
//
// 1. latency: one entity, N rows; from the row to its score and, of a forecaster, to the forecast
//    with the row included. The rest of the row's work (advance) is done between rows, untimed.
// 2. sustained rate: the same with that rest included.
// 3. push_many: a row for each of many entities, per round, against `score` of the same rows.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
#include "slidecell/slidecell.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string model;
  std::int64_t rows = 100000;
  std::int64_t entities = 1000;
  std::int64_t rounds = 50;
  int threads = 1;
};

Options read_options(example::Arguments arguments) {
  Options options;
  options.model = arguments.positional("MODEL");
  while (!arguments.done()) {
    if (arguments.flag("--rows")) {
      options.rows = arguments.number("--rows", 1, 100000000);
    } else if (arguments.flag("--entities")) {
      options.entities = arguments.number("--entities", 1, 1000000);
    } else if (arguments.flag("--rounds")) {
      options.rounds = arguments.number("--rounds", 1, 1000000);
    } else if (arguments.flag("--threads")) {
      options.threads = static_cast<int>(arguments.number("--threads", 0, 4096));
    } else {
      arguments.refuse();
    }
  }
  return options;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<float> random_rows(std::int64_t rows, std::int64_t features) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(rows * features));
  for (float& x : out) x = normal(rng);
  return out;
}

// One entity's live stream over rows that repeat.
class Feed {
 public:
  explicit Feed(const slidecell::SequenceModel& model)
      : stream_(model, 1),
        features_(model.input_size()),
        forecasts_(model.horizon() > 0),
        rows_(random_rows(kRows, features_)),
        ahead_(static_cast<std::size_t>(model.horizon() * model.num_targets())) {
    for (std::int64_t i = 0; i < model.window() + model.horizon() + 1000; ++i) {  // warm
      answer(i);
      stream_.advance();
    }
  }
  void answer(std::int64_t i) {
    stream_.push(0, rows_.data() + i % kRows * features_, score_);
    if (forecasts_) stream_.predict_next(0, ahead_.data());
  }
  void advance() { stream_.advance(); }

 private:
  static constexpr std::int64_t kRows = 512;  // few enough to stay in the cache, as live rows are
  slidecell::Stream stream_;
  std::int64_t features_;
  bool forecasts_;
  std::vector<float> rows_;   // [kRows, F]
  std::vector<float> ahead_;  // [K, T]
  float score_ = 0.0f;
};

void print_histogram(const std::vector<double>& sorted) {  // microseconds
  for (double high = 0.125; high < 2.0 * sorted.back(); high *= 2.0) {
    const double low = high > 0.125 ? high / 2.0 : 0.0;
    const auto count = std::lower_bound(sorted.begin(), sorted.end(), high) -
                       std::lower_bound(sorted.begin(), sorted.end(), low);
    if (count == 0) continue;
    std::printf("  %10.3f .. %10.3f us  %9lld\n", low, high, static_cast<long long>(count));
  }
}

void measure_latency(const slidecell::SequenceModel& model, std::int64_t rows) {
  Feed feed(model);
  std::vector<double> latencies(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto start = Clock::now();
    feed.answer(i);
    latencies[static_cast<std::size_t>(i)] = seconds_since(start) * 1e6;
    feed.advance();
  }
  std::sort(latencies.begin(), latencies.end());
  const auto percentile = [&](double p) {
    return latencies[static_cast<std::size_t>(p * static_cast<double>(rows - 1))];
  };
  std::printf(
      "latency of %lld rows, one entity: p50 %.2f us  p90 %.2f us  p99 %.2f us  max %.2f us\n",
      static_cast<long long>(rows), percentile(0.50), percentile(0.90), percentile(0.99),
      latencies.back());
  print_histogram(latencies);
}

void measure_rate(const slidecell::SequenceModel& model, std::int64_t rows) {
  Feed feed(model);
  const auto start = Clock::now();
  for (std::int64_t i = 0; i < rows; ++i) {
    feed.answer(i);
    feed.advance();
  }
  std::printf("sustained rate, one entity: %.0f rows/s\n",
              static_cast<double>(rows) / seconds_since(start));
}

void measure_many(const slidecell::SequenceModel& model, const Options& options) {
  const std::int64_t F = model.input_size(), N = options.entities;
  const std::int64_t warm = model.window() + model.horizon(), T = warm + options.rounds;
  const std::vector<float> series = random_rows(N * T, F);  // [N, T, F]: entity after entity
  std::vector<std::int64_t> entities, offsets;
  for (std::int64_t e = 0; e <= N; ++e) {
    if (e < N) entities.push_back(e);
    offsets.push_back(e * T);
  }

  slidecell::Stream stream(model, N);
  std::vector<float> live(static_cast<std::size_t>(N * T)), scores(static_cast<std::size_t>(N));
  double seconds = 0.0;
  for (std::int64_t t = 0; t < T; ++t) {
    slidecell::SeriesView rows(series.data() + t * F, N, F);
    rows.row_stride *= T;
    const auto start = Clock::now();
    stream.push_many(entities, rows, scores.data(), options.threads);
    if (t >= warm) seconds += seconds_since(start);
    for (std::int64_t e = 0; e < N; ++e) {
      live[static_cast<std::size_t>(e * T + t)] = scores[static_cast<std::size_t>(e)];
    }
  }
  const double live_rate = static_cast<double>(N * options.rounds) / seconds;

  std::vector<float> batch(static_cast<std::size_t>(N * T));
  slidecell::ScoreOptions score_options;
  score_options.num_threads = options.threads;
  const slidecell::SeriesView all(series.data(), N * T, F);
  model.score(all, offsets, batch.data(), score_options);  // warm
  const auto start = Clock::now();
  model.score(all, offsets, batch.data(), score_options);
  const double windows = static_cast<double>(N * (T - warm + 1));
  const double batch_rate = windows / seconds_since(start);

  double difference = 0.0;
  std::int64_t unlike = 0;  // a score where the other has none
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (std::isnan(live[i]) != std::isnan(batch[i])) ++unlike;
    if (!std::isnan(live[i] - batch[i])) {
      difference = std::max(difference, static_cast<double>(std::fabs(live[i] - batch[i])));
    }
  }
  std::printf("push_many, %lld entities: %.0f rows/s; score: %.0f windows/s (ratio %.2f)\n",
              static_cast<long long>(N), live_rate, batch_rate, live_rate / batch_rate);
  std::printf("memory: %lld bytes per entity; largest difference of a score: %g\n",
              static_cast<long long>(stream.bytes_per_entity()), difference);
  if (unlike > 0) throw std::runtime_error("stream and score disagree on which rows have a score");
}

void run(const Options& options) {
  const auto model = slidecell::SequenceModel::load(options.model);
  const slidecell::KernelPlan plan = model.plan(slidecell::Precision::highest, options.threads);
  std::printf(
      "%s: F=%lld W=%lld K=%lld; isa %s, kernel %s, precision %s, %d threads in push_many\n",
      options.model.c_str(), static_cast<long long>(model.input_size()),
      static_cast<long long>(model.window()), static_cast<long long>(model.horizon()),
      plan.isa.c_str(), plan.kernel.c_str(), plan.precision.c_str(), plan.threads);
  measure_latency(model, options.rows);
  measure_rate(model, options.rows);
  measure_many(model, options);
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main(
      argc, argv, "MODEL [--rows N] [--entities N] [--rounds N] [--threads N]",
      [](example::Arguments arguments) { run(read_options(std::move(arguments))); });
}
