// Scores of flattened windows against plain loops in double, on every ISA.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "slidecell/cpu.hpp"
#include "slidecell/window_scorer.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

const std::vector<std::int64_t> kOffsets{0, 3, 3, 60, 64, 101};

struct Case {
  std::int64_t window, features, rows, constant;
};

Floats random_floats(std::size_t size, std::mt19937& rng, float scale = 1.0f) {
  std::normal_distribution<float> normal(0.0f, scale);
  Floats values(size);
  std::generate(values.begin(), values.end(), [&] { return normal(rng); });
  return values;
}

// Series, windows and parts of one size. The first `constant` features are 0, but in one row.
class Made {
 public:
  Made(const Case& c, std::mt19937& rng)
      : size(c), S(kOffsets.back()), V(c.features - c.constant), depth(c.window * V) {
    flat.window = c.window;
    flat.features = c.features;
    for (std::int64_t f = c.constant; f < c.features; ++f) {
      flat.varying.push_back(static_cast<std::int32_t>(f));
    }
    series = random_floats(static_cast<std::size_t>(S * c.features), rng);
    for (std::int64_t s = 0; s < S; ++s) {
      for (std::int64_t f = 0; f < c.constant; ++f) at(s, f) = s == 30 ? 2.5f : 0.0f;
    }
    at(45, c.features - 1) = std::numeric_limits<float>::quiet_NaN();
    points = random_floats(static_cast<std::size_t>(c.rows * depth), rng);
    mean = random_floats(static_cast<std::size_t>(depth), rng);
    weights = random_floats(static_cast<std::size_t>(V * depth), rng, 0.3f);
    bias = random_floats(static_cast<std::size_t>(V), rng);
    a.assign(static_cast<std::size_t>(V), 1.5f);
    b.assign(static_cast<std::size_t>(V), 0.25f);
    component = random_floats(static_cast<std::size_t>(depth), rng);
    double square = 0.0;
    for (const float x : component) square += static_cast<double>(x) * static_cast<double>(x);
    for (float& x : component) x = static_cast<float>(static_cast<double>(x) / std::sqrt(square));
  }

  float& at(std::int64_t s, std::int64_t f) {
    return series[static_cast<std::size_t>(s * size.features + f)];
  }
  double x(std::int64_t s, std::int64_t f) { return static_cast<double>(at(s, f)); }
  // Value k of the window at row s, as the parts see it.
  double flat_value(std::int64_t s, std::int64_t k) { return x(s + k / V, size.constant + k % V); }
  double constant_squares(std::int64_t s) {
    double sum = 0.0;
    for (std::int64_t t = 0; t < size.window; ++t) {
      for (std::int64_t f = 0; f < size.constant; ++f) sum += x(s + t, f) * x(s + t, f);
    }
    return sum;
  }

  double nearest(std::int64_t s, std::int64_t neighbors) {
    Doubles distances;
    for (std::int64_t p = 0; p < size.rows; ++p) {
      double sum = constant_squares(s);
      for (std::int64_t k = 0; k < depth; ++k) {
        const double d =
            flat_value(s, k) - static_cast<double>(points[static_cast<std::size_t>(p * depth + k)]);
        sum += d * d;
      }
      distances.push_back(std::sqrt(sum));
    }
    std::sort(distances.begin(), distances.end());
    double sum = 0.0;
    for (std::int64_t i = 0; i < neighbors; ++i) sum += distances[static_cast<std::size_t>(i)];
    return sum / static_cast<double>(neighbors);
  }

  double residual(std::int64_t s) {
    const auto part = [](const Floats& values, std::int64_t k) {
      return static_cast<double>(values[static_cast<std::size_t>(k)]);
    };
    double code = 0.0, sum = constant_squares(s);
    for (std::int64_t k = 0; k < depth; ++k) {
      code += part(component, k) * (flat_value(s, k) - part(mean, k));
    }
    for (std::int64_t k = 0; k < depth; ++k) {
      const double left = flat_value(s, k) - part(mean, k) - code * part(component, k);
      sum += left * left;
    }
    return sum / static_cast<double>(size.window * size.features);
  }

  double forecast(std::int64_t s) {
    double sum = 0.0;
    for (std::int64_t v = 0; v < V; ++v) {
      const auto i = static_cast<std::size_t>(v);
      double ahead = static_cast<double>(bias[i]);
      for (std::int64_t k = 0; k < depth; ++k) {
        ahead += static_cast<double>(weights[static_cast<std::size_t>(v * depth + k)]) *
                 flat_value(s, k);
      }
      const double error = std::abs(ahead - x(s + size.window, size.constant + v));
      const double z = std::max(error * static_cast<double>(a[i]) - static_cast<double>(b[i]), 0.0);
      sum += z * z;
    }
    return std::sqrt(sum / static_cast<double>(V));
  }

  Case size;
  std::int64_t S, V, depth;
  FlatWindows flat;
  Floats series, points, mean, component, weights, bias, a, b;
};

template <class Truth>
void compare(Made& made, const WindowScorer& scorer, Truth truth) {
  Floats out(static_cast<std::size_t>(made.S), -1.0f);
  scorer.score(SeriesView(made.series.data(), made.S, made.size.features), kOffsets, out.data(),
               false, 2);
  const std::int64_t span = scorer.window() + scorer.horizon();
  for (std::size_t g = 0; g + 1 < kOffsets.size(); ++g) {
    for (std::int64_t s = kOffsets[g]; s < kOffsets[g + 1]; ++s) {
      const float got = out[static_cast<std::size_t>(s)];
      const std::int64_t start = s - span + 1;
      if (start < kOffsets[g] || (start <= 45 && 45 <= s)) {
        CHECK(std::isnan(got));
        continue;
      }
      const double want = truth(start);
      CHECK(std::abs(static_cast<double>(got) - want) <= 2e-5 * std::max(1.0, want));
    }
  }
}

void test_scores(std::mt19937& rng) {
  for (const Case& c :
       {Case{1, 2, 1, 0}, Case{5, 3, 14, 1}, Case{9, 1, 30, 0}, Case{3, 20, 7, 12}}) {
    Made made(c, rng);
    for (std::int64_t neighbors : {std::int64_t{1}, std::min<std::int64_t>(3, c.rows)}) {
      compare(made, WindowScorer::nearest(made.flat, made.points, neighbors),
              [&](std::int64_t s) { return made.nearest(s, neighbors); });
    }
    compare(made, WindowScorer::subspace(made.flat, made.mean, made.component),
            [&](std::int64_t s) { return made.residual(s); });
    compare(made, WindowScorer::forecast(made.flat, made.weights, made.bias, made.a, made.b),
            [&](std::int64_t s) { return made.forecast(s); });
  }
}

void test_bad_arguments() {
  const FlatWindows flat{2, 1, {}, {}, {0}};
  const WindowScorer scorer = WindowScorer::nearest(flat, {1.0f, 2.0f}, 1);
  Floats series(4), out(4);
  const std::vector<std::int64_t> offsets{0, 4}, short_offsets{0, 3};
  const SeriesView view(series.data(), 4, 1), null(nullptr, 4, 1), wide(series.data(), 2, 2);
  CHECK_THROWS(scorer.score(wide, offsets, out.data()), std::invalid_argument, "series: expected");
  CHECK_THROWS(scorer.score(view, short_offsets, out.data()), std::invalid_argument, "offsets");
  CHECK_THROWS(scorer.score(null, offsets, out.data()), std::invalid_argument, "series");
  CHECK_THROWS(scorer.score(view, offsets, nullptr), std::invalid_argument, "out");
  const Floats one{1.0f}, two{1.0f, 2.0f};
  CHECK_THROWS(WindowScorer::nearest(flat, one, 1), std::invalid_argument, "points");
  CHECK_THROWS(WindowScorer::nearest(flat, two, 2), std::invalid_argument, "neighbors");
  const FlatWindows beyond{2, 1, {}, {}, {1}};
  CHECK_THROWS(WindowScorer::nearest(beyond, two, 1), std::invalid_argument, "varying");
  const Span<const float> null_scores(nullptr, 1);
  const std::vector<std::int64_t> one_row{0, 1};
  double mean = 0.0;
  CHECK_THROWS(row_means(null_scores, one_row, 1, 0, true, &mean), std::invalid_argument, "scores");
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(3);
    test_scores(rng);
    test_bad_arguments();
  }
  return test::result();
}
