// training_forward and training_backward, once per ISA: outputs against the float64 reference,
// gradients against its differences along random directions.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference.h"
#include "slidecell/cpu.hpp"
#include "slidecell/training.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using reference::Doubles;
using Floats = std::vector<float>;

constexpr double kOutput = 1e-6;
// Of a derivative along a direction, relative to the sum of the magnitudes of its terms.
constexpr double kGradient = 1e-6;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();  // what no output may keep

Floats random_floats(std::int64_t size, float bound, std::mt19937& rng) {
  std::uniform_real_distribution<float> uniform(-bound, bound);
  Floats v(static_cast<std::size_t>(size));
  for (float& x : v) x = uniform(rng);
  return v;
}

// Everything that a layer reads, in one order: x, h0, c0, w_ih, w_hh, b_ih, b_hh.
constexpr std::size_t kInputs = 7;

struct Problem {
  LayerSpec spec;
  std::int64_t N, T;
  bool state;
  std::vector<Floats> inputs;
  std::vector<Floats> weights;  // of the outputs in a scalar: out, h_n, c_n

  Problem(Cell cell, std::int64_t n, std::int64_t t, std::int64_t I, std::int64_t H,
          bool with_state, std::mt19937& rng)
      : N(n), T(t), state(with_state) {
    spec.cell = cell;
    spec.input_size = I;
    spec.hidden_size = H;
    const std::int64_t rows = spec.gates() * H;
    const float bound = 1.0F / std::sqrt(static_cast<float>(H));
    const std::int64_t h = state ? N * H : 0, c = cell == Cell::lstm ? h : 0;
    inputs = {random_floats(N * T * I, 1.0F, rng), random_floats(h, 0.5F, rng),
              random_floats(c, 0.5F, rng),         random_floats(rows * I, bound, rng),
              random_floats(rows * H, bound, rng), random_floats(rows, bound, rng),
              random_floats(rows, bound, rng)};
    for (const std::int64_t size : {N * T * H, N * H, cell == Cell::lstm ? N * H : 0}) {
      weights.push_back(random_floats(size, 1.0F, rng));
    }
  }

  DirectionWeights layer() const { return {inputs[3], inputs[4], inputs[5], inputs[6], {}}; }
  TrainingInput input() const {
    TrainingInput in;
    in.N = N;
    in.T = T;
    in.x = {inputs[0].data(), T * spec.input_size, spec.input_size};
    in.h0 = inputs[1].empty() ? nullptr : inputs[1].data();
    in.c0 = inputs[2].empty() ? nullptr : inputs[2].data();
    return in;
  }
};

// The three outputs, or the seven gradients.
using Tensors = std::vector<Floats>;

Tensors run_forward(const Problem& p, Floats& saved, int threads) {
  const std::int64_t H = p.spec.hidden_size;
  Tensors found = {Floats(p.weights[0].size(), kNaN), Floats(p.weights[1].size(), kNaN),
                   Floats(p.weights[2].size(), kNaN)};
  TrainingOutput output;
  output.out = {found[0].data(), p.T * H, H};
  output.h_n = found[1].data();
  output.c_n = found[2].empty() ? nullptr : found[2].data();
  saved.assign(static_cast<std::size_t>(training_saved_size(p.spec, p.N, p.T)), kNaN);
  training_forward(p.spec, p.layer(), p.input(), output, saved.data(), threads);
  const Floats h_n = found[1];
  std::fill(found[1].begin(), found[1].end(), kNaN);
  training_forward(p.spec, p.layer(), p.input(), output, nullptr, threads);
  CHECK(found[1] == h_n);  // keeping changes nothing
  return found;
}

Tensors run_backward(const Problem& p, const Floats& saved, int threads) {
  const std::int64_t H = p.spec.hidden_size, I = p.spec.input_size;
  OutputGradients given;
  given.out = {p.weights[0].data(), p.T * H, H};
  given.h_n = p.weights[1].data();
  given.c_n = p.weights[2].empty() ? nullptr : p.weights[2].data();
  Tensors found;
  for (const Floats& input : p.inputs) found.emplace_back(input.size(), kNaN);
  const auto data = [&](std::size_t k) { return found[k].empty() ? nullptr : found[k].data(); };
  const InputGradients wanted{
      {found[0].data(), p.T * I, I}, data(1), data(2), data(3), data(4), data(5), data(6)};
  training_backward(p.spec, p.layer(), p.input(), saved.data(), given, wanted, threads);
  return found;
}

reference::Forward reference_forward(const Problem& p, const Tensors& inputs) {
  // The reference takes float32 weights: a step along a direction is rounded to them.
  LayerWeights layer;
  layer.forward = {inputs[3], inputs[4], inputs[5], inputs[6], {}};
  const auto doubles = [](const Floats& v) { return Doubles(v.begin(), v.end()); };
  Doubles c0 = doubles(inputs[2]);
  if (!p.spec.has_c()) c0.assign(inputs[1].size(), 0.0);
  return reference::forward({p.spec}, {layer}, doubles(inputs[0]), p.N, p.T, doubles(inputs[1]),
                            c0);
}

double scalar(const Problem& p, const Tensors& inputs) {
  const reference::Forward f = reference_forward(p, inputs);
  double sum = 0.0;
  const auto add = [&](const Doubles& values, const Floats& weights) {
    for (std::size_t k = 0; k < weights.size(); ++k) {
      sum += values[k] * static_cast<double>(weights[k]);
    }
  };
  add(f.out, p.weights[0]);
  add(f.h_n, p.weights[1]);
  add(f.c_n, p.weights[2]);
  return sum;
}

// What the scalar does between steps to both sides of `k`'s numbers, less what the gradients say.
// size: the sum of the magnitudes of their terms.
double difference(const Problem& p, const Tensors& gradients, std::size_t k, const Floats& step,
                  float length, double& size) {
  Tensors ahead = p.inputs, behind = p.inputs;
  double predicted = 0.0;
  size = 0.0;
  for (std::size_t i = 0; i < step.size(); ++i) {
    ahead[k][i] += length * step[i];
    behind[k][i] -= length * step[i];
    const double moved = static_cast<double>(ahead[k][i]) - static_cast<double>(behind[k][i]);
    predicted += moved * static_cast<double>(gradients[k][i]);
    size += std::abs(moved * static_cast<double>(gradients[k][i]));
  }
  return scalar(p, ahead) - scalar(p, behind) - predicted;
}

void check_direction(const Problem& p, const Tensors& gradients, std::size_t k, std::mt19937& rng) {
  const Floats step = random_floats(static_cast<std::int64_t>(p.inputs[k].size()), 2e-3F, rng);
  // A wrong gradient is wrong by a share of the step, third derivatives by a share of its cube:
  // eight times the half step's less the whole step's leaves three of the former.
  double size = 0.0;
  const double half = difference(p, gradients, k, step, 0.5F, size);
  const double whole = difference(p, gradients, k, step, 1.0F, size);
  const double error = std::abs(8.0 * half - whole) / 3.0;
  CHECK(error <= kGradient * size);
  if (!(error <= kGradient * size)) {
    std::fprintf(stderr, "  %s input %zu N=%d H=%d: error %g of %g\n", active_isa().c_str(), k,
                 static_cast<int>(p.N), static_cast<int>(p.spec.hidden_size), error, size);
  }
}

void check(const Problem& p, std::mt19937& rng) {
  Floats saved;
  const Tensors outputs = run_forward(p, saved, 1);
  const reference::Forward expected = reference_forward(p, p.inputs);
  const auto near = [](const Floats& found, const Doubles& values) {
    for (std::size_t k = 0; k < found.size(); ++k) {
      if (!(std::abs(static_cast<double>(found[k]) - values[k]) <= kOutput)) return false;
    }
    return true;
  };
  CHECK(near(outputs[0], expected.out));
  CHECK(near(outputs[1], expected.h_n));
  CHECK(near(outputs[2], expected.c_n));
  const Tensors gradients = run_backward(p, saved, 1);
  for (std::size_t k = 0; k < kInputs; ++k) check_direction(p, gradients, k, rng);
  CHECK(run_forward(p, saved, 3) == outputs);
  CHECK(run_backward(p, saved, 3) == gradients);
}

void check_errors(std::mt19937& rng) {
  const Problem p(Cell::lstm, 2, 3, 2, 3, true, rng);
  Floats saved(static_cast<std::size_t>(training_saved_size(p.spec, p.N, p.T)));
  const auto run = [&](LayerSpec spec, const DirectionWeights& weights, const TrainingInput& in) {
    training_forward(spec, weights, in, {}, saved.data(), 1);
  };
  run(p.spec, p.layer(), p.input());
  LayerSpec relu = p.spec, before = p.spec;
  relu.activation = Activation::relu;
  before.cell = Cell::gru;
  before.reset_after = false;
  CHECK(!is_trainable(relu) && !is_trainable(before) && is_trainable(p.spec));
  CHECK_THROWS(run(relu, p.layer(), p.input()), std::invalid_argument, "expected an LSTM");
  DirectionWeights weights = p.layer();
  weights.w_hh = weights.w_ih;
  CHECK_THROWS(run(p.spec, weights, p.input()), std::invalid_argument, "weight_hh: expected 36");
  TrainingInput input = p.input();
  input.c0 = nullptr;
  CHECK_THROWS(run(p.spec, p.layer(), input), std::invalid_argument, "both h0 and c0");
  input = p.input();
  input.T = 0;
  CHECK_THROWS(run(p.spec, p.layer(), input), std::invalid_argument, "T >= 1");
  CHECK_THROWS(training_backward(p.spec, weights, p.input(), saved.data(), {}, {}, 1),
               std::invalid_argument, "weight_hh: expected 36");
}

// No window: gradients of weights are zero.
void check_empty(std::mt19937& rng) {
  const Problem p(Cell::gru, 0, 3, 2, 3, false, rng);
  Floats saved;
  run_forward(p, saved, 2);
  for (const Floats& gradient : run_backward(p, saved, 2)) {
    CHECK(std::all_of(gradient.begin(), gradient.end(), [](float v) { return v == 0.0F; }));
  }
}

void check_sizes(Cell cell, const std::vector<std::int64_t>& hidden_sizes, std::mt19937& rng) {
  for (const std::int64_t H : hidden_sizes) {
    for (const std::int64_t N : {1, 47, 49, 100}) {
      check(Problem(cell, N, 1 + (N + H) % 4, 1 + H % 18, H, (N + H) % 3 == 0, rng), rng);
    }
  }
}

}  // namespace

int main() {
  std::mt19937 rng(5), rnn_rng(6);
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    for (const Cell cell : {Cell::lstm, Cell::gru}) check_sizes(cell, {1, 3, 8, 17, 33}, rng);
    // A few units of an RNN have as few biases. What reaches each from all windows may cancel, and
    // the bound, which is relative to the gradients, says nothing then.
    check_sizes(Cell::rnn, {7, 8, 16, 17, 33}, rnn_rng);
    check_errors(rng);
    check_empty(rng);
  }
  return slidecell::test::result();
}
