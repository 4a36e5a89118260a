// Monitor: the stream's scores, smoothed and judged as the model file says.
#include "slidecell/monitor.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "models.h"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;

ModelFile file_with(const std::string& smoothing, const std::string& threshold) {
  std::mt19937 rng(3);
  test::ModelSpec spec;
  spec.window = 3;
  LayerSpec layer;
  layer.input_size = 2;
  layer.hidden_size = 5;
  spec.encoder = {layer};
  ModelFile file = test::random_file(spec, rng);
  const std::string before = R"("smoothing":null,"threshold":null)";
  const std::size_t at = file.metadata.find(before);
  file.metadata.replace(at, before.size(),
                        R"("smoothing":)" + smoothing + R"(,"threshold":)" + threshold);
  return file;
}

SequenceModel model_with(const std::string& smoothing, const std::string& threshold) {
  const ModelFile file = file_with(smoothing, threshold);
  return {file.metadata, file.tensors};
}

Floats rows_with_a_hole(std::int64_t rows) {
  std::mt19937 rng(4);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  Floats values(static_cast<std::size_t>(rows * 2));
  for (float& v : values) v = uniform(rng);
  values[30] = std::numeric_limits<float>::quiet_NaN();
  return values;
}

// The events of one entity while another one gets other rows in between.
template <class Smooth>
void check(const std::string& smoothing, double threshold, Smooth smooth) {
  const SequenceModel model =
      model_with(smoothing, R"({"kind":"fixed","value":)" + std::to_string(threshold) + "}");
  const std::int64_t S = 60;
  const Floats rows = rows_with_a_hole(S);
  Floats scores(static_cast<std::size_t>(S));
  model.score(SeriesView(rows.data(), S, 2), {}, scores.data());
  Monitor monitor(model, 2);
  CHECK(monitor.threshold() == std::stod(std::to_string(threshold)));
  for (const bool again : {false, true}) {
    if (again) CHECK(monitor.reset(1) == Status::ok);
    std::deque<double> finite;
    int alarms = 0;
    for (std::int64_t n = 0; n < S; ++n) {
      Event event;
      CHECK(monitor.push(0, rows.data() + 2 * (S - 1 - n), event) == Status::ok);
      CHECK(monitor.push(1, rows.data() + 2 * n, event) == Status::ok);
      const float score = scores[static_cast<std::size_t>(n)];
      CHECK(test::same(event.score, score));
      if (std::isnan(score)) {
        CHECK(std::isnan(event.smoothed) && !event.alarm);
        continue;
      }
      finite.push_back(static_cast<double>(score));
      const double expected = smooth(finite);
      CHECK(event.smoothed == expected);
      CHECK(event.alarm == (expected > monitor.threshold()));
      alarms += event.alarm;
    }
    CHECK(alarms > 3 && alarms < S - 10);
  }
}

void test_smoothing() {
  check("null", 0.3, [](const std::deque<double>& s) { return s.back(); });
  check(R"({"kind":"ewma","alpha":0.25})", 0.3, [](const std::deque<double>& s) {
    double average = s.front();
    for (std::size_t i = 1; i < s.size(); ++i) average += 0.25 * (s[i] - average);
    return average;
  });
  check(R"({"kind":"moving_average","n":4})", 0.3, [](const std::deque<double>& s) {
    const std::size_t held = s.size() < 4 ? s.size() : 4;
    double total = 0;
    for (std::size_t i = s.size() - held; i < s.size(); ++i) total += s[i];
    return total / static_cast<double>(held);
  });
}

// The mean of the finite scores among the last rows: reach ends at a row without a score as well.
void test_trailing_mean() {
  const SequenceModel model =
      model_with(R"({"kind":"trailing_mean","n":4})", R"({"kind":"fixed","value":0.3})");
  const std::int64_t S = 60, n = 4;
  const Floats rows = rows_with_a_hole(S);
  Floats scores(static_cast<std::size_t>(S));
  model.score(SeriesView(rows.data(), S, 2), {}, scores.data());
  Monitor monitor(model, 2);
  for (const bool again : {false, true}) {
    if (again) CHECK(monitor.reset(1) == Status::ok);
    for (std::int64_t r = 0; r < S; ++r) {
      Event event;
      CHECK(monitor.push(0, rows.data() + 2 * (S - 1 - r), event) == Status::ok);
      CHECK(monitor.push(1, rows.data() + 2 * r, event) == Status::ok);
      double total = 0, count = 0;
      for (std::int64_t i = std::max<std::int64_t>(0, r - n + 1); i <= r; ++i) {
        const float score = scores[static_cast<std::size_t>(i)];
        if (std::isnan(score)) continue;
        total += static_cast<double>(score);
        ++count;
      }
      const bool scored = !std::isnan(scores[static_cast<std::size_t>(r)]);
      CHECK(scored ? event.smoothed == total / count : std::isnan(event.smoothed));
      CHECK(event.alarm == (scored && total / count > 0.3));
    }
  }
}

// The scores that a file's threshold is for are those that a monitor takes.
void test_reduction_of_the_file() {
  std::mt19937 rng(8);
  test::ModelSpec spec;
  spec.encoder = {LayerSpec{}};
  spec.encoder[0].input_size = 2;
  spec.encoder[0].hidden_size = 5;
  spec.center = {0.5, 0.5};
  spec.scale = {2.0, 0.25};
  spec.error = true;
  ModelFile file = test::random_file(spec, rng);
  const std::string format = R"("format":2)";
  file.metadata.replace(file.metadata.find(format), format.size(),
                        R"("format":2,"reduction":"calibrated")");
  const SequenceModel model(file.metadata, file.tensors);
  CHECK(model.decision().reduction == Reduction::calibrated);
  CHECK(model.reduction() == Reduction::calibrated);
  const std::int64_t S = 40;
  const Floats rows = rows_with_a_hole(S);
  Floats scores(static_cast<std::size_t>(S));
  ScoreOptions options;
  options.reduction = Reduction::calibrated;
  model.score(SeriesView(rows.data(), S, 2), {}, scores.data(), options);
  Monitor monitor(model, 1);
  for (std::int64_t r = 0; r < S; ++r) {
    Event event;
    CHECK(monitor.push(0, rows.data() + 2 * r, event) == Status::ok);
    CHECK(test::same(event.score, scores[static_cast<std::size_t>(r)]));
  }
  StreamOptions other;
  other.reduction = Reduction::mae;
  CHECK_THROWS(Monitor(model, 1, other), std::invalid_argument, "reduction: expected that of the");
  const std::string known = R"("reduction":"calibrated")";
  file.metadata.replace(file.metadata.find(known), known.size(), R"("reduction":"rmse")");
  CHECK_THROWS(SequenceModel(file.metadata, file.tensors), std::invalid_argument,
               "'reduction': expected one of mse, mae, mahalanobis, nll, calibrated, got 'rmse'");
}

// A row that is too large is an alarm whatever the threshold; what is smoothed later knows nothing
// of it.
void test_too_large_row() {
  for (const char* smoothing :
       {"null", R"({"kind":"ewma","alpha":0.25})", R"({"kind":"moving_average","n":4})",
        R"({"kind":"trailing_mean","n":4})"}) {
    const SequenceModel model = model_with(smoothing, R"({"kind":"fixed","value":1e300})");
    Monitor monitor(model, 2);
    for (int n = 0; n < 60; ++n) {
      const double usual[] = {0.1 * (n % 7), 0.3}, large[] = {1e39, 0.3}, hole[] = {NAN, 0.3};
      Event got, expected;
      CHECK(monitor.push(0, n == 20 ? large : usual, got) == Status::ok);
      CHECK(monitor.push(1, n == 20 ? hole : usual, expected) == Status::ok);
      if (n == 20) {
        CHECK(std::isinf(got.score) && std::isinf(got.smoothed) && got.alarm);
      } else {
        CHECK(test::same(got.score, expected.score) && got.alarm == expected.alarm);
        CHECK(got.smoothed == expected.smoothed || std::isnan(got.smoothed));
      }
    }
  }
}

void test_bytes() {
  const SequenceModel model = model_with(R"({"kind":"moving_average","n":1000000000})", "null");
  CHECK_THROWS(Monitor(model, 1), std::invalid_argument,
               "max_bytes: expected enough for the last 1000000000 scores");
}

void test_without_a_threshold() {
  const SequenceModel model = model_with("null", "null");
  Monitor monitor(model, 1);
  CHECK(std::isnan(monitor.threshold()));
  const std::vector<double> row(2, 1e3);
  Event event;
  for (int n = 0; n < 10; ++n) CHECK(monitor.push(0, row.data(), event) == Status::ok);
  CHECK(std::isfinite(event.score) && !event.alarm);
  CHECK(monitor.push(1, row.data(), event) == Status::unknown_entity);
  CHECK(monitor.reset(-1) == Status::unknown_entity);
}

// The smoothed entities are those that the monitor was made for.
void test_resized_stream() {
  const SequenceModel model = model_with(R"({"kind":"moving_average","n":4})", "null");
  Monitor monitor(model, 2);
  monitor.stream().resize(1000);
  const std::vector<double> row(2, 1e3);
  Event event;
  CHECK(monitor.push(1, row.data(), event) == Status::ok);
  CHECK(monitor.push(2, row.data(), event) == Status::unknown_entity);
  CHECK(monitor.reset(999) == Status::unknown_entity);
  CHECK(monitor.stream().rows_seen(1) == 1 && monitor.stream().rows_seen(2) == 0);
}

void test_what_it_cannot_run() {
  const std::string fixed = R"({"kind":"fixed","value":1.0})";
  const SequenceModel moving = model_with("null", R"({"kind":"cusum","k":0.3})");
  CHECK_THROWS(Monitor(moving, 1), UnsupportedError, "'cusum', which moves with the scores");
  const SequenceModel unknown = model_with(R"({"kind":"median"})", fixed);
  CHECK_THROWS(Monitor(unknown, 1), UnsupportedError, "got 'median'");
  const SequenceModel wide = model_with(R"({"kind":"ewma","alpha":1.5})", fixed);
  CHECK_THROWS(Monitor(wide, 1), std::invalid_argument, "'alpha': expected 0 < alpha <= 1");
  CHECK_THROWS(model_with(R"({"kind":"moving_average","n":0})", fixed), std::invalid_argument,
               "'n': expected 1 to");
}

}  // namespace

int main() {
  test_smoothing();
  test_trailing_mean();
  test_reduction_of_the_file();
  test_too_large_row();
  test_bytes();
  test_resized_stream();
  test_without_a_threshold();
  test_what_it_cannot_run();
  return test::result();
}
