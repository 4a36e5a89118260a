// Recurrent::forward and step against the float64 reference, once per ISA.
#include "slidecell/recurrent.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using reference::Doubles;

// Of h and c at torch's initialisation and inputs in [0,1], relative to the largest of them where
// relu or linear let them grow beyond 1.
constexpr double kTolerance = 1e-6;
constexpr float kPoison = 12345.0F;  // what an output must not keep

using Floats = std::vector<float>;

struct Weights {
  Floats w_ih, w_hh, b_ih, b_hh, w_hr;
};

class Stacked {
 public:
  Stacked(const std::vector<LayerSpec>& specs, std::mt19937& rng) : specs_(specs) {
    for (const LayerSpec& spec : specs) {
      const float bound = 1.0F / std::sqrt(static_cast<float>(spec.hidden_size));
      std::uniform_real_distribution<float> uniform(-bound, bound);
      for (std::int64_t d = 0; d < spec.directions(); ++d) {
        const std::int64_t rows = spec.gates() * spec.hidden_size;
        Weights w;
        for (auto [tensor, size] :
             {std::pair{&w.w_ih, rows * spec.input_size},
              std::pair{&w.w_hh, rows * spec.state_size()}, std::pair{&w.b_ih, rows},
              std::pair{&w.b_hh, rows}, std::pair{&w.w_hr, spec.proj_size * spec.hidden_size}}) {
          tensor->resize(static_cast<std::size_t>(size));
          for (float& v : *tensor) v = uniform(rng);
        }
        data_.push_back(w);
      }
    }
    std::size_t k = 0;
    for (const LayerSpec& spec : specs) {
      LayerWeights layer;
      layer.forward = view(data_[k++]);
      if (spec.bidirectional) layer.reverse = view(data_[k++]);
      weights_.push_back(layer);
    }
  }

  const std::vector<LayerSpec>& specs() const { return specs_; }
  const std::vector<LayerWeights>& weights() const { return weights_; }

 private:
  static DirectionWeights view(const Weights& w) {
    return {w.w_ih, w.w_hh, w.b_ih, w.b_hh, w.w_hr};
  }
  std::vector<LayerSpec> specs_;
  std::vector<Weights> data_;
  std::vector<LayerWeights> weights_;
};

Floats random_floats(std::int64_t size, std::mt19937& rng) {
  std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
  Floats v(static_cast<std::size_t>(size));
  for (float& x : v) x = uniform(rng);
  return v;
}

Doubles to_double(const Floats& v) { return Doubles(v.begin(), v.end()); }

double difference(const Floats& got, const Doubles& truth) {
  if (got.size() != truth.size()) return INFINITY;
  double worst = 0.0, largest = 1.0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const double error = std::abs(static_cast<double>(got[k]) - truth[k]);
    if (!(error <= worst)) worst = error;  // a NaN is the worst
  }
  for (const double v : truth) largest = std::max(largest, std::abs(v));
  return worst / largest;
}

// Sizes that are no multiple of a vector, and those that are.
std::vector<LayerSpec> random_specs(std::mt19937& rng) {
  const std::vector<std::int64_t> sizes = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65};
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(rng() % n); };
  std::vector<LayerSpec> specs(1 + pick(3));
  LayerSpec spec;
  spec.cell = cells_by_name()[pick(cells_by_name().size())].second;
  spec.bidirectional = pick(3) == 0;
  spec.hidden_size = sizes[pick(sizes.size())];
  spec.proj_size = spec.cell == Cell::lstm && pick(3) == 0 ? spec.hidden_size / 2 : 0;
  spec.activation = static_cast<Activation>(pick(4));
  spec.recurrent_activation = static_cast<RecurrentActivation>(pick(2));
  spec.reset_after = pick(2) == 0;
  spec.input_size = sizes[pick(sizes.size())];
  for (LayerSpec& layer : specs) {
    layer = spec;
    spec.input_size = spec.output_size();
  }
  return specs;
}

void test_forward(std::mt19937& rng) {
  const Stacked stacked(random_specs(rng), rng);
  const Recurrent kernel(stacked.specs(), stacked.weights());
  const LayerSpec& last = stacked.specs().back();
  const bool lstm = last.cell == Cell::lstm;
  const auto N = static_cast<std::int64_t>(rng() % 40), T = static_cast<std::int64_t>(rng() % 10);
  const auto S = static_cast<std::int64_t>(stacked.specs().size()) * last.directions();
  const Floats x = random_floats(N * T * stacked.specs().front().input_size, rng);
  const Floats h0 = random_floats(S * N * last.state_size(), rng);
  const Floats c0 = random_floats(S * N * last.hidden_size, rng);
  const bool states = rng() % 2 == 0;
  std::vector<std::int64_t> lengths;
  if (rng() % 2 == 0) {
    for (std::int64_t n = 0; n < N; ++n) {
      lengths.push_back(static_cast<std::int64_t>(rng() % static_cast<std::uint32_t>(T + 1)));
    }
  }
  Floats out(static_cast<std::size_t>(N * T * last.output_size()), kPoison);
  Floats h_n(h0.size(), kPoison), c_n(c0.size(), kPoison);
  kernel.forward(x.data(), N, T, states ? h0.data() : nullptr, states && lstm ? c0.data() : nullptr,
                 lengths, out.data(), h_n.data(), lstm ? c_n.data() : nullptr, 2);
  const auto truth = reference::forward(stacked.specs(), stacked.weights(), to_double(x), N, T,
                                        states ? to_double(h0) : Doubles{},
                                        states ? to_double(c0) : Doubles{}, lengths);
  CHECK(difference(out, truth.out) <= kTolerance);
  CHECK(difference(h_n, truth.h_n) <= kTolerance);
  CHECK(!lstm || difference(c_n, truth.c_n) <= kTolerance);
}

void test_step_is_forward(std::mt19937& rng) {
  std::vector<LayerSpec> specs = random_specs(rng);
  std::int64_t input_size = specs.front().input_size;
  for (LayerSpec& spec : specs) {
    spec.bidirectional = false;
    spec.input_size = input_size;
    input_size = spec.output_size();
  }
  const Stacked stacked(specs, rng);
  const Recurrent kernel(stacked.specs(), stacked.weights());
  const LayerSpec& last = specs.back();
  const bool lstm = last.cell == Cell::lstm;
  const std::int64_t I = specs.front().input_size, P = last.state_size(), T = 5;
  const auto N = static_cast<std::int64_t>(1 + rng() % 40);
  const auto L = static_cast<std::int64_t>(specs.size());
  const Floats x = random_floats(N * T * I, rng);
  Floats h = random_floats(L * N * P, rng), c = random_floats(L * N * last.hidden_size, rng);
  Floats out(static_cast<std::size_t>(N * T * P)), h_n(h.size()), c_n(c.size());
  kernel.forward(x.data(), N, T, h.data(), lstm ? c.data() : nullptr, {}, out.data(), h_n.data(),
                 lstm ? c_n.data() : nullptr);
  for (std::int64_t t = 0; t < T; ++t) {
    Floats row;  // [N,I]
    for (std::int64_t n = 0; n < N; ++n) {
      row.insert(row.end(), x.begin() + (n * T + t) * I, x.begin() + (n * T + t + 1) * I);
    }
    // In place: the states may be their own outputs.
    kernel.step(row.data(), N, h.data(), lstm ? c.data() : nullptr, h.data(),
                lstm ? c.data() : nullptr);
    for (std::int64_t n = 0; n < N; ++n) {
      CHECK(std::equal(out.begin() + (n * T + t) * P, out.begin() + (n * T + t + 1) * P,
                       h.begin() + ((L - 1) * N + n) * P));
    }
  }
  CHECK(h == h_n);
  CHECK(!lstm || c == c_n);
}

void test_errors() {
  LayerSpec spec;
  spec.input_size = 3;
  spec.hidden_size = 5;
  const Floats w_ih(60), w_hh(100), bias(20);
  LayerWeights layer;
  layer.forward = {w_ih, w_hh, bias, bias, {}};
  CHECK(Recurrent({spec}, {layer}).specs().size() == 1);
  layer.forward.w_hh = bias;
  CHECK_THROWS(Recurrent({spec}, {layer}), std::invalid_argument, "weight_hh");
  layer.forward.w_hh = w_hh;
  Floats bad = w_ih;
  bad[7] = NAN;
  layer.forward.w_ih = bad;
  CHECK_THROWS(Recurrent({spec}, {layer}), std::invalid_argument, "weight_ih");
  CHECK_THROWS(set_isa("z80"), UnsupportedError, "z80");
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(7);
    for (int k = 0; k < 150; ++k) {
      test_forward(rng);
      test_step_is_forward(rng);
    }
  }
  test_errors();
  return slidecell::test::result();
}
