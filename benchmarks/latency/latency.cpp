// Latency of single steps and of streams, in C++: one JSON object per line on stdout.
//   latency [pushes]        default 100,000 pushes per histogram
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "slidecell/slidecell.hpp"

namespace {

using namespace slidecell;

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::mt19937& generator() {
  static std::mt19937 g(0);
  return g;
}

std::vector<float> uniform(std::size_t n, double low, double high) {
  std::uniform_real_distribution<float> d(static_cast<float>(low), static_cast<float>(high));
  std::vector<float> values(n);
  for (float& v : values) v = d(generator());
  return values;
}

Tensor tensor(std::vector<std::int64_t> shape, double bound) {
  std::size_t size = 1;
  for (const std::int64_t n : shape) size *= static_cast<std::size_t>(n);
  return {std::move(shape), uniform(size, -bound, bound)};
}

// A forecaster of `layers` LSTM layers, with torch's initialisation.
SequenceModel forecaster(int features, int hidden, int layers, int window, int targets) {
  TensorMap tensors;
  std::string encoder, columns;
  int input = features;
  for (int l = 0; l < layers; ++l, input = hidden) {
    const std::string prefix = "encoder." + std::to_string(l) + ".";
    const double bound = 1.0 / std::sqrt(hidden);
    tensors[prefix + "weight_ih_l0"] = tensor({4 * hidden, input}, bound);
    tensors[prefix + "weight_hh_l0"] = tensor({4 * hidden, hidden}, bound);
    tensors[prefix + "bias_ih_l0"] = tensor({4 * hidden}, bound);
    tensors[prefix + "bias_hh_l0"] = tensor({4 * hidden}, bound);
    encoder += std::string(l ? "," : "") +
               "{\"cell\":\"lstm\",\"input_size\":" + std::to_string(input) +
               ",\"hidden_size\":" + std::to_string(hidden) +
               ",\"proj_size\":0,\"bidirectional\":false,\"activation\":\"tanh\"," +
               "\"recurrent_activation\":\"sigmoid\",\"reset_after\":true}";
  }
  tensors["head.weight"] = tensor({targets, hidden}, 1.0 / std::sqrt(hidden));
  tensors["head.bias"] = tensor({targets}, 1.0 / std::sqrt(hidden));
  for (int t = 0; t < targets; ++t) columns += (t ? "," : "") + std::to_string(t);
  return SequenceModel("{\"format\":1,\"window\":" + std::to_string(window) +
                           ",\"horizon\":1,\"encoder\":[" + encoder +
                           "],\"decoder\":[],\"features\":null,\"targets\":[" + columns +
                           "],\"scaler\":null,\"error\":null}",
                       tensors);
}

double quantile(std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

void print_histogram(const std::string& name, std::vector<double>& us, const std::string& more) {
  std::sort(us.begin(), us.end());
  std::printf(
      "{\"case\": \"%s\", \"n\": %zu, \"p50_us\": %.3f, \"p90_us\": %.3f, "
      "\"p99_us\": %.3f, \"max_us\": %.1f%s}\n",
      name.c_str(), us.size(), quantile(us, 0.5), quantile(us, 0.9), quantile(us, 0.99), us.back(),
      more.c_str());
  std::fflush(stdout);
}

// From `push` of a row until predict_next with that row included is ready; and until `advance` has
// moved the other windows on, which is what a row costs in all.
void time_push(const std::string& name, const SequenceModel& model, int pushes,
               Precision precision = Precision::highest) {
  StreamOptions options;
  options.precision = precision;
  Stream stream(model, 1, options);
  const auto F = static_cast<std::size_t>(model.input_size());
  const std::vector<float> rows = uniform(F * 1024, 0, 1);
  std::vector<float> ahead(static_cast<std::size_t>(model.horizon() * model.num_targets()));
  std::vector<double> us, all;
  us.reserve(static_cast<std::size_t>(pushes));
  all.reserve(static_cast<std::size_t>(pushes));
  float score = 0;
  const int warm = 2000;
  double begin = 0;
  for (int i = -warm; i < pushes; ++i) {
    if (i == 0) begin = now_us();
    const double start = now_us();
    stream.push(0, rows.data() + static_cast<std::size_t>((i + warm) % 1024) * F, score);
    stream.predict_next(0, ahead.data());
    const double end = now_us();
    stream.advance();
    if (i < 0) continue;
    us.push_back(end - start);
    all.push_back(now_us() - start);
  }
  const double sustained = (now_us() - begin) / pushes;
  std::sort(all.begin(), all.end());
  char more[96];
  std::snprintf(more, sizeof more, ", \"in_all_p50_us\": %.3f, \"sustained_us\": %.3f",
                quantile(all, 0.5), sustained);
  print_histogram(name, us, more);
}

// One layer, one row, state in place.
void time_step(const std::string& name, Cell cell, int inputs, int hidden, int pushes) {
  LayerSpec spec;
  spec.cell = cell;
  spec.input_size = inputs;
  spec.hidden_size = hidden;
  const auto H = static_cast<std::size_t>(hidden), I = static_cast<std::size_t>(inputs);
  const std::size_t rows = static_cast<std::size_t>(spec.gates()) * H;
  const double bound = 1.0 / std::sqrt(hidden);
  const std::vector<float> w_ih = uniform(rows * I, -bound, bound),
                           w_hh = uniform(rows * H, -bound, bound),
                           b_ih = uniform(rows, -bound, bound), b_hh = uniform(rows, -bound, bound);
  LayerWeights weights;
  weights.forward = {w_ih, w_hh, b_ih, b_hh, {}};
  const Recurrent layer({spec}, {weights});
  const std::vector<float> x = uniform(I * 1024, 0, 1);
  std::vector<float> h(H), c(H);
  std::vector<double> us;
  us.reserve(static_cast<std::size_t>(pushes));
  constexpr int kBatch = 16;  // a step is of the order of the clock's own cost
  for (int i = -2000; i < pushes / kBatch; ++i) {
    const double start = now_us();
    for (int k = 0; k < kBatch; ++k) {
      const auto row = static_cast<std::size_t>(i + 2000 + k) % 1024;
      layer.step(x.data() + row * I, 1, h.data(), c.data(), h.data(), c.data());
    }
    const double end = now_us();
    if (i >= 0) us.push_back((end - start) / kBatch);
  }
  print_histogram(name, us, ", \"steps_per_sample\": 16");
}

// push_many for every entity in turn against `score` of the same rows: windows per second, in
// alternation, one thread.
void time_push_many(int entities, int rounds) {
  const SequenceModel model = forecaster(7, 64, 1, 7, 7);
  Stream stream(model, entities);
  const auto F = static_cast<std::size_t>(model.input_size());
  const auto E = static_cast<std::size_t>(entities);
  const std::vector<float> rows = uniform(E * F, 0, 1);
  std::vector<std::int64_t> ids(E);
  for (std::size_t e = 0; e < E; ++e) ids[e] = static_cast<std::int64_t>(e);
  std::vector<float> scores(E), batch_scores(E);
  ScoreOptions options;
  options.num_threads = 1;
  const SeriesView view(rows.data(), entities, 7);
  std::vector<double> live, batch;
  for (int i = -8; i < rounds; ++i) {
    double start = now_us();
    stream.push_many(ids, view, scores.data(), 1);
    if (i >= 0) live.push_back(now_us() - start);
    start = now_us();
    model.score(view, {}, batch_scores.data(), options);
    if (i >= 0) batch.push_back(now_us() - start);
  }
  std::sort(live.begin(), live.end());
  std::sort(batch.begin(), batch.end());
  const double ours = entities / quantile(live, 0.5) * 1e6;
  const double theirs = static_cast<double>(entities - 7) / quantile(batch, 0.5) * 1e6;
  std::printf(
      "{\"case\": \"push_many, %d entities, LSTM 64 W=7\", \"rows_per_s\": %.0f, "
      "\"score_windows_per_s\": %.0f, \"share\": %.3f, \"bytes_per_entity\": %lld}\n",
      entities, ours, theirs, ours / theirs, static_cast<long long>(stream.bytes_per_entity()));
}

}  // namespace

int main(int argc, char** argv) {
  const int pushes = argc > 1 ? std::atoi(argv[1]) : 100000;
  if (pushes < 1000) {
    std::fprintf(stderr, "usage: latency [pushes >= 1000]\n");
    return 2;
  }
  std::printf("{\"isa\": \"%s\"}\n", active_isa().c_str());
  for (const int hidden : {16, 32, 64}) {
    time_step("step, LSTM " + std::to_string(hidden), Cell::lstm, hidden, hidden, pushes);
  }
  for (const int hidden : {16, 32, 64}) {
    time_step("step, GRU " + std::to_string(hidden), Cell::gru, hidden, hidden, pushes);
  }
  time_step("step, LSTM 64, 7 features", Cell::lstm, 7, 64, pushes);
  time_step("step, GRU 64, 7 features", Cell::gru, 7, 64, pushes);
  time_push("push, 8 features, LSTM 64, W=50", forecaster(8, 64, 1, 50, 8), pushes);
  const SequenceModel wide = forecaster(100, 100, 2, 50, 1);
  time_push("push, 100 features, LSTM 100 x 2 -> 1, W=50", wide, pushes);
  time_push("the same at precision medium", wide, pushes, Precision::medium);
  time_push("the same at precision low", wide, pushes, Precision::low);
  time_push("push, 7 features, LSTM 64, W=7", forecaster(7, 64, 1, 7, 7), pushes);
  time_push_many(10000, std::max(5, pushes / 2000));
}
