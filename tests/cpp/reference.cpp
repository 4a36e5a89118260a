#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace slidecell::reference {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double activate(Activation kind, double x) {
  switch (kind) {
    case Activation::tanh:
      return std::tanh(x);
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::linear:
      break;
  }
  return x;
}

double activate(RecurrentActivation kind, double x) {
  return kind == RecurrentActivation::sigmoid ? sigmoid(x) : std::clamp(x / 6.0 + 0.5, 0.0, 1.0);
}

// Row `row` of w [.., size] times v [size].
double dot(Span<const float> w, std::int64_t row, const Doubles& v) {
  double sum = 0.0;
  for (std::size_t k = 0; k < v.size(); ++k) {
    sum += static_cast<double>(w[static_cast<std::size_t>(row) * v.size() + k]) * v[k];
  }
  return sum;
}

double bias(Span<const float> b, std::int64_t row) {
  return b.empty() ? 0.0 : static_cast<double>(b[static_cast<std::size_t>(row)]);
}

// x [I], h [P or H] and c [H] in place: one LSTM step of one batch row.
void lstm_step(const LayerSpec& spec, const DirectionWeights& w, const Doubles& x, Doubles& h,
               Doubles& c) {
  const std::int64_t H = spec.hidden_size;
  const auto gate = [&](std::int64_t g, std::int64_t j) {
    const std::int64_t row = g * H + j;
    return dot(w.w_ih, row, x) + bias(w.b_ih, row) + dot(w.w_hh, row, h) + bias(w.b_hh, row);
  };
  Doubles unprojected(static_cast<std::size_t>(H));
  for (std::int64_t j = 0; j < H; ++j) {
    const double i = activate(spec.recurrent_activation, gate(0, j));
    const double f = activate(spec.recurrent_activation, gate(1, j));
    const double g = activate(spec.activation, gate(2, j));
    const double o = activate(spec.recurrent_activation, gate(3, j));
    const auto at = static_cast<std::size_t>(j);
    c[at] = f * c[at] + i * g;
    unprojected[at] = o * activate(spec.activation, c[at]);
  }
  if (spec.proj_size == 0) {
    h = unprojected;
    return;
  }
  for (std::int64_t p = 0; p < spec.proj_size; ++p) {
    h[static_cast<std::size_t>(p)] = dot(w.w_hr, p, unprojected);
  }
}

// x [I], h [H] in place: one GRU step of one batch row.
void gru_step(const LayerSpec& spec, const DirectionWeights& w, const Doubles& x, Doubles& h) {
  const std::int64_t H = spec.hidden_size;
  const auto gate = [&](std::int64_t g, std::int64_t j) {
    const std::int64_t row = g * H + j;
    return activate(spec.recurrent_activation, dot(w.w_ih, row, x) + bias(w.b_ih, row) +
                                                   dot(w.w_hh, row, h) + bias(w.b_hh, row));
  };
  Doubles r(h.size()), reset(h.size()), next(h.size());
  for (std::int64_t j = 0; j < H; ++j) {
    const auto at = static_cast<std::size_t>(j);
    r[at] = gate(0, j);
    reset[at] = r[at] * h[at];
  }
  for (std::int64_t j = 0; j < H; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const std::int64_t row = 2 * H + j;
    const double z = gate(1, j);
    const double recurrent = spec.reset_after ? r[at] * (dot(w.w_hh, row, h) + bias(w.b_hh, row))
                                              : dot(w.w_hh, row, reset) + bias(w.b_hh, row);
    const double n = activate(spec.activation, dot(w.w_ih, row, x) + bias(w.b_ih, row) + recurrent);
    next[at] = (1.0 - z) * n + z * h[at];
  }
  h = next;
}

// x [I], h [H] in place: one Elman step of one batch row.
void rnn_step(const LayerSpec& spec, const DirectionWeights& w, const Doubles& x, Doubles& h) {
  Doubles next(h.size());
  for (std::int64_t j = 0; j < spec.hidden_size; ++j) {
    const double sum = dot(w.w_ih, j, x) + bias(w.b_ih, j) + dot(w.w_hh, j, h) + bias(w.b_hh, j);
    next[static_cast<std::size_t>(j)] = activate(spec.activation, sum);
  }
  h = next;
}

Doubles slice(const Doubles& v, std::int64_t first, std::int64_t size) {
  return Doubles(v.begin() + first, v.begin() + first + size);
}

}  // namespace

Forward forward(const std::vector<LayerSpec>& specs, const std::vector<LayerWeights>& weights,
                const Doubles& x, std::int64_t N, std::int64_t T, const Doubles& h0,
                const Doubles& c0, const std::vector<std::int64_t>& lengths) {
  Forward result;
  Doubles input = x;  // [N,T,I] of the current layer
  for (std::size_t l = 0; l < specs.size(); ++l) {
    const LayerSpec& spec = specs[l];
    const std::int64_t I = spec.input_size, P = spec.state_size(), H = spec.hidden_size;
    const std::int64_t width = spec.output_size();
    Doubles output(static_cast<std::size_t>(N * T * width), 0.0);
    for (std::int64_t d = 0; d < spec.directions(); ++d) {
      const DirectionWeights& w = d == 0 ? weights[l].forward : weights[l].reverse;
      for (std::int64_t n = 0; n < N; ++n) {
        const auto at_h = static_cast<std::int64_t>(result.h_n.size());
        const auto at_c = static_cast<std::int64_t>(result.c_n.size());
        Doubles h = h0.empty() ? Doubles(static_cast<std::size_t>(P)) : slice(h0, at_h, P);
        Doubles c = c0.empty() ? Doubles(static_cast<std::size_t>(H)) : slice(c0, at_c, H);
        const std::int64_t steps = lengths.empty() ? T : lengths[static_cast<std::size_t>(n)];
        for (std::int64_t k = 0; k < steps; ++k) {
          const std::int64_t t = d == 0 ? k : steps - 1 - k;
          const Doubles row = slice(input, (n * T + t) * I, I);
          switch (spec.cell) {
            case Cell::lstm:
              lstm_step(spec, w, row, h, c);
              break;
            case Cell::gru:
              gru_step(spec, w, row, h);
              break;
            case Cell::rnn:
              rnn_step(spec, w, row, h);
              break;
          }
          std::copy(h.begin(), h.end(), output.begin() + (n * T + t) * width + d * P);
        }
        result.h_n.insert(result.h_n.end(), h.begin(), h.end());
        result.c_n.insert(result.c_n.end(), c.begin(), c.end());
      }
    }
    input = output;
  }
  result.out = input;
  return result;
}

}  // namespace slidecell::reference
