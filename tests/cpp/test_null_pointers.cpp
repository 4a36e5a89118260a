// A null array is an error that names it, and no crash; where it has no elements it is none.
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include "models.h"
#include "slidecell/slidecell.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;

constexpr std::int64_t S = 12, F = 2;

SequenceModel model_with(std::int64_t horizon, std::mt19937& rng) {
  test::ModelSpec spec;
  spec.window = 3;
  spec.horizon = horizon;
  LayerSpec layer;
  layer.input_size = F;
  layer.hidden_size = 4;
  spec.encoder = {layer};
  if (horizon == 0) spec.decoder = {layer};
  return test::random_model(spec, rng);
}

void test_model(const SequenceModel& model, const Floats& rows) {
  const SeriesView series(rows.data(), S, F);
  const SeriesView null_view(nullptr, S, F), empty(nullptr, 0, F);
  const WindowPlan plan({0, S}, model.window(), model.horizon()), no_rows({0, 0}, 3, 1);
  Floats out(1000, 7.0f);
  CHECK_THROWS(model.score(null_view, {}, out.data()), std::invalid_argument,
               "series: expected a pointer, got null");
  CHECK_THROWS(model.score(series, {}, nullptr), std::invalid_argument, "out: expected a pointer");
  CHECK_THROWS(model.score(series, {nullptr, 2}, out.data()), std::invalid_argument, "offsets: ");
  CHECK_THROWS(model.predict(null_view, plan, out.data()), std::invalid_argument, "series: ");
  CHECK_THROWS(model.predict(series, plan, nullptr), std::invalid_argument, "out: ");
  CHECK_THROWS(model.encode(null_view, plan, out.data()), std::invalid_argument, "series: ");
  CHECK_THROWS(model.encode(series, plan, nullptr), std::invalid_argument, "out: ");
  CHECK(test::same(out, Floats(1000, 7.0f)));
  model.score(empty, {}, nullptr);
  model.predict(empty, no_rows, nullptr);
  model.encode(empty, no_rows, nullptr);
}

void test_stream(const SequenceModel& model, const Floats& rows) {
  Stream stream(model, 2);
  float score = 7.0f;
  const float* const none = nullptr;
  const double* const no_doubles = nullptr;
  CHECK(stream.push(0, none, score) == Status::null_pointer && score == 7.0f);
  CHECK(stream.push(0, no_doubles, score) == Status::null_pointer);
  CHECK(stream.push(9, none, score) == Status::unknown_entity);
  CHECK(stream.predict_next(0, nullptr) == Status::null_pointer);
  CHECK(std::string(status_text(Status::null_pointer)).find("null") != std::string::npos);
  const std::vector<std::int64_t> entities = {0, 1};
  Floats scores(2, 7.0f);
  CHECK_THROWS(stream.push_many({nullptr, 2}, SeriesView(rows.data(), 2, F), scores.data()),
               std::invalid_argument, "entities: ");
  CHECK_THROWS(stream.push_many(entities, SeriesView(nullptr, 2, F), scores.data()),
               std::invalid_argument, "rows: ");
  CHECK_THROWS(stream.push_many(entities, SeriesView(rows.data(), 2, F), nullptr),
               std::invalid_argument, "scores: ");
  stream.push_many({}, SeriesView(nullptr, 0, F), nullptr);
  CHECK(stream.rows_seen(0) == 0 && stream.rows_seen(1) == 0);
  Monitor monitor(model, 1);
  Event event;
  CHECK(monitor.push(0, none, event) == Status::null_pointer);
}

void test_gathered(const Floats& rows) {
  const WindowPlan plan({0, S}, 3, 1);
  const SeriesView series(rows.data(), S, F);
  const SeriesView null_view(nullptr, S, F);
  const std::vector<std::int64_t> indices = {0, 1};
  Floats x(1000);
  CHECK_THROWS(plan.gather(null_view, indices, x.data(), nullptr), std::invalid_argument,
               "series: ");
  CHECK_THROWS(plan.gather(series, indices, nullptr, nullptr), std::invalid_argument, "x: ");
  CHECK_THROWS(plan.gather(series, {nullptr, 2}, x.data(), nullptr), std::invalid_argument,
               "indices: ");
  CHECK_THROWS(plan.gather_all(null_view, x.data(), nullptr), std::invalid_argument, "series: ");
  CHECK_THROWS(plan.gather_all(series, nullptr, nullptr), std::invalid_argument, "x: ");
  CHECK_THROWS(gather_rows(null_view, indices, 3, 1, x.data(), nullptr), std::invalid_argument,
               "series: ");
  CHECK_THROWS(gather_rows(series, {nullptr, 2}, 3, 1, x.data(), nullptr), std::invalid_argument,
               "starts: ");
  plan.gather(series, {}, nullptr, nullptr);
}

void test_layers(std::mt19937& rng) {
  LayerSpec spec;
  spec.input_size = F;
  spec.hidden_size = 4;
  const auto random = [&](std::size_t n) {
    Floats values(n);
    for (float& v : values) v = std::uniform_real_distribution<float>(-1, 1)(rng);
    return values;
  };
  const Floats w_ih = random(16 * F), w_hh = random(16 * 4), x = random(6 * F);
  DirectionWeights weights;
  weights.w_ih = w_ih;
  weights.w_hh = w_hh;
  const Recurrent lstm({spec}, {{weights, {}}});
  Floats out(100), h(4), c(4);
  CHECK_THROWS(lstm.forward(nullptr, 1, 6, nullptr, nullptr, {}, out.data(), h.data(), c.data()),
               std::invalid_argument, "x: ");
  CHECK_THROWS(lstm.forward(x.data(), 1, 6, nullptr, nullptr, {}, nullptr, h.data(), c.data()),
               std::invalid_argument, "out: ");
  CHECK_THROWS(lstm.forward(x.data(), 1, 6, nullptr, nullptr, {}, out.data(), nullptr, nullptr),
               std::invalid_argument, "h_n: ");
  CHECK_THROWS(
      lstm.forward(x.data(), 1, 6, nullptr, nullptr, {nullptr, 1}, out.data(), h.data(), c.data()),
      std::invalid_argument, "lengths: ");
  lstm.forward(x.data(), 1, 6, nullptr, nullptr, {}, out.data(), h.data(), nullptr);
  lstm.forward(nullptr, 0, 6, nullptr, nullptr, {}, nullptr, nullptr, nullptr);
  CHECK_THROWS(lstm.step(nullptr, 1, h.data(), c.data(), h.data(), c.data()), std::invalid_argument,
               "x: ");
  CHECK_THROWS(lstm.step(x.data(), 1, nullptr, c.data(), h.data(), c.data()), std::invalid_argument,
               "h: ");
  CHECK_THROWS(lstm.step(x.data(), 1, h.data(), nullptr, h.data(), c.data()), std::invalid_argument,
               "c: ");
  CHECK_THROWS(lstm.step(x.data(), 1, h.data(), c.data(), nullptr, c.data()), std::invalid_argument,
               "h_out: ");
  CHECK_THROWS(lstm.step(x.data(), 1, h.data(), c.data(), h.data(), nullptr), std::invalid_argument,
               "c_out: ");

  TrainingInput input;
  input.N = 1;
  input.T = 3;
  CHECK_THROWS(training_forward(spec, weights, input, {}, nullptr), std::invalid_argument, "x: ");
  input.x = {x.data(), 6, 2};
  CHECK_THROWS(training_backward(spec, weights, input, nullptr, {}, {}), std::invalid_argument,
               "saved: ");
}

}  // namespace

int main() {
  std::mt19937 rng(20240303);
  const Floats rows = [&] {
    Floats values(S * F);
    for (float& v : values) v = std::uniform_real_distribution<float>(-1, 1)(rng);
    return values;
  }();
  test_model(model_with(1, rng), rows);
  test_stream(model_with(1, rng), rows);
  test_gathered(rows);
  test_layers(rng);
  return test::result();
}
