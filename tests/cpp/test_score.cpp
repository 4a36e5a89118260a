// SequenceModel::score at the edges of its arguments.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "models.h"
#include "slidecell/cpu.hpp"
#include "slidecell/model.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

// Any stride longer than the series leaves the first window of each entity, the longest too.
void test_long_strides(std::mt19937& rng) {
  constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max();
  for (int k = 0; k < 20; ++k) {
    const ModelSpec spec = test::random_spec(rng);
    const SequenceModel model = test::random_model(spec, rng);
    const std::vector<std::int64_t> offsets = {0, 57, 57, 100, 2500};
    const std::int64_t S = offsets.back();
    const Floats series = test::detail::random_tensor({S, model.input_size()}, 1.0, rng).data;
    const SeriesView view(series.data(), S, model.input_size());
    std::vector<Aggregate> aggregates = {Aggregate::window};
    if (spec.horizon == 0) aggregates = {Aggregate::window, Aggregate::last, Aggregate::mean};
    for (const Aggregate aggregate : aggregates) {
      Floats expected(static_cast<std::size_t>(S)), got(expected.size());
      ScoreOptions options;
      options.aggregate = aggregate;
      options.num_threads = 1;
      options.stride = S;
      model.score(view, offsets, expected.data(), options);
      for (const std::int64_t stride : {S + 1, kLongest / 2, kLongest}) {
        options.stride = stride;
        model.score(view, offsets, got.data(), options);
        CHECK(same(got, expected));
      }
    }
    // Every entity has its window.
    const WindowPlan plan(offsets, model.window(), model.horizon(), kLongest);
    CHECK(plan.size() == 3);
    Floats codes(static_cast<std::size_t>(3 * model.code_size()));
    model.encode(view, plan, codes.data(), 1);
    CHECK(codes == codes);  // no NaN: the rows are finite
  }
}

// Rows that are too large score infinity, the other windows that touch them NaN: in short entities,
// between windows, for every aggregate, on any number of threads.
void test_too_large_rows(std::mt19937& rng) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int k = 0; k < 20; ++k) {
    const ModelSpec spec = test::random_spec(rng);
    const SequenceModel model = test::random_model(spec, rng);
    const std::int64_t S = 400, F = model.input_size(), T = model.num_targets();
    const std::vector<std::int64_t> offsets = {0, 2, 2, 130, S};
    const Floats usual = test::detail::random_tensor({S, F}, 1.0, rng).data;
    std::vector<double> rows(usual.begin(), usual.end());
    const std::vector<std::int64_t> large = {1, 60, 129, 300, 399};
    for (const std::int64_t r : large) rows[static_cast<std::size_t>(r * F)] = -1e300;
    std::vector<double> holes = rows;
    for (const std::int64_t r : large) holes[static_cast<std::size_t>(r * F)] = NAN;
    std::vector<Aggregate> aggregates = {Aggregate::window};
    if (spec.horizon == 0) aggregates = {Aggregate::window, Aggregate::last, Aggregate::mean};
    for (const Aggregate aggregate : aggregates) {
      for (const std::int64_t stride : {1, 3, 50}) {
        ScoreOptions options;
        options.aggregate = aggregate;
        options.stride = stride;
        options.num_threads = stride == 3 ? 2 : 1;
        Floats expected(static_cast<std::size_t>(S)), got(expected.size());
        model.score(SeriesView(holes.data(), S, F), offsets, expected.data(), options);
        model.score(SeriesView(rows.data(), S, F), offsets, got.data(), options);
        for (const std::int64_t r : large) {
          CHECK(std::isnan(expected[static_cast<std::size_t>(r)]));
          expected[static_cast<std::size_t>(r)] = kInfinity;
        }
        CHECK(same(got, expected));
        options.per_feature = true;
        Floats features(static_cast<std::size_t>(S * T));
        model.score(SeriesView(rows.data(), S, F), offsets, features.data(), options);
        // Targets but column 0 have no number; without column 0 all have it.
        std::vector<std::int64_t> targets = spec.targets;
        for (std::int64_t f = 0; spec.targets.empty() && f < F; ++f) targets.push_back(f);
        const bool none = std::find(targets.begin(), targets.end(), 0) == targets.end();
        for (const std::int64_t r : large) {
          for (std::int64_t i = 0; i < T; ++i) {
            const float score = features[static_cast<std::size_t>(r * T + i)];
            if (none || targets[static_cast<std::size_t>(i)] == 0) {
              CHECK(score == kInfinity);
            } else {
              CHECK(std::isnan(score));
            }
          }
        }
      }
    }
  }
}

// Rows outside of all windows, whose range depends on the scaler: of float32 and float64, side by
// side and apart.
template <class T>
void test_scaled_rows_outside(std::mt19937& rng) {
  ModelSpec spec;
  spec.window = 4;
  LayerSpec layer;
  layer.input_size = 3;
  layer.hidden_size = 2;
  spec.encoder = {layer};
  spec.center = {0.0, -1e8, 0.0};
  spec.scale = {1.0, -1e-30, 1e30};
  const SequenceModel model = test::random_model(spec, rng);
  const std::int64_t F = 3, S = 3000;
  CHECK(model.input_size() == F);
  std::vector<std::int64_t> offsets;
  for (std::int64_t r = 0; r <= S; r += 3) offsets.push_back(r);
  for (const std::int64_t wide : {F, F + 2}) {
    std::vector<T> rows(static_cast<std::size_t>(S * wide), std::numeric_limits<T>::infinity());
    const auto at = [&](std::int64_t r, std::int64_t c) -> T& {
      return rows[static_cast<std::size_t>(r * wide + c)];
    };
    for (std::int64_t r = 0; r < S; ++r) {
      at(r, 0) = T(3e38), at(r, 1) = T(2e8), at(r, 2) = T(-3e38);
    }
    at(1, 1) = T(1e9);             // scaled by 1e-30: too large
    at(2, 0) = T(NAN);             // missing, and
    at(1500, 1) = T(-1e9);         // too large in the same thousand rows
    at(2000, 1) = T(INFINITY);     // missing
    at(2999, 1) = T(-2e8) * T(3);  // the last row
    const Floats expected = [&] {
      Floats scores(static_cast<std::size_t>(S), NAN);
      for (const std::size_t r : {1, 1500, 2999}) scores[r] = INFINITY;
      return scores;
    }();
    SeriesView view(rows.data(), S, F);
    view.row_stride = wide * static_cast<std::ptrdiff_t>(sizeof(T));
    Floats scores(static_cast<std::size_t>(S));
    model.score(view, offsets, scores.data());
    CHECK(same(scores, expected));
  }
}

// A window of a file that is no longer than the series, but whose hidden sequences nobody can hold.
void test_scratch_is_bounded(std::mt19937& rng) {
  ModelSpec spec;
  spec.window = std::int64_t{1} << 22;
  LayerSpec layer;
  layer.input_size = 1;
  layer.hidden_size = 16;
  layer.bidirectional = true;
  spec.encoder = {layer, layer};
  const SequenceModel model = test::random_model(spec, rng);
  const Floats rows(static_cast<std::size_t>(spec.window + 1));
  Floats scores(rows.size());
  const SeriesView view(rows.data(), spec.window + 1, 1);
  CHECK_THROWS(model.score(view, {}, scores.data()), std::invalid_argument,
               "window: expected one whose tile fits into 4 GiB, got 4194304, which takes ");
  const SeriesView short_view(rows.data(), 3, 1);  // no window, and so no tile
  Floats few(3);
  model.score(short_view, {}, few.data());
  CHECK(std::isnan(few[2]));
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(9);
    test_long_strides(rng);
    test_too_large_rows(rng);
    test_scaled_rows_outside<float>(rng);
    test_scaled_rows_outside<double>(rng);
    test_scratch_is_bounded(rng);
  }
  return slidecell::test::result();
}
