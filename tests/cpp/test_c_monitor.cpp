// Monitors of the C interface: the events of the C++ monitor, and a status for every mistake.
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "c_api.h"
#include "slidecell/model.hpp"
#include "slidecell/monitor.hpp"
#include "slidecell/slidecell.h"
#include "test.h"

namespace {

using namespace slidecell::test;

slidecell::ModelFile file_with(const std::string& smoothing, const std::string& threshold) {
  std::mt19937 rng(5);
  slidecell::ModelFile file = model_file(1, rng);
  const std::string before = R"("smoothing":null,"threshold":null)";
  file.metadata.replace(file.metadata.find(before), before.size(),
                        R"("smoothing":)" + smoothing + R"(,"threshold":)" + threshold);
  return file;
}

MonitorHandle monitor_of(const ModelHandle& model, std::int64_t entities) {
  slidecell_monitor* monitor = nullptr;
  CHECK(slidecell_monitor_create(model.get(), entities, nullptr, &monitor) == SLIDECELL_OK);
  return MonitorHandle(monitor);
}

// Rows in turn to two entities, as float and as double.
void test_events(const std::string& path, const std::string& smoothing, const Floats& rows) {
  slidecell::write_model_file(path, file_with(smoothing, R"({"kind":"fixed","value":2.75})"));
  const auto model = slidecell::SequenceModel::load(path);
  ModelHandle c_model = load(path);
  slidecell::Monitor truth(model, 2);
  const MonitorHandle monitor = monitor_of(c_model, 2);
  c_model.reset();  // a monitor outlives the caller's model
  CHECK(slidecell_monitor_threshold(monitor.get()) == 2.75);
  std::int64_t alarms = 0;
  for (std::int64_t s = 0; s < kRows; ++s) {
    const float* row = rows.data() + s * kFeatures;
    const std::vector<double> wide(row, row + kFeatures);
    const std::int64_t entity = s % 3 == 0 ? 1 : 0;
    slidecell::Event expected;
    slidecell_event event = {7.0f, 7, 7.0};
    CHECK(truth.push(entity, row, expected) == slidecell::Status::ok);
    const int status = s % 2 == 0
                           ? slidecell_monitor_push(monitor.get(), entity, row, &event)
                           : slidecell_monitor_push_f64(monitor.get(), entity, wide.data(), &event);
    CHECK(status == SLIDECELL_OK);
    CHECK(same(event.score, expected.score) && (event.alarm == 1) == expected.alarm);
    CHECK(event.smoothed == expected.smoothed ||
          (std::isnan(event.smoothed) && std::isnan(expected.smoothed)));
    CHECK(event.alarm == 0 || event.alarm == 1);
    alarms += event.alarm;
    if (s == 30) {
      CHECK(truth.reset(1) == slidecell::Status::ok);
      CHECK(slidecell_monitor_reset(monitor.get(), 1) == SLIDECELL_OK);
    }
  }
  CHECK(alarms > 0 && alarms < kRows - 20);

  // The lent stream answers, and is not freed with slidecell_stream_free.
  slidecell_stream* const stream = slidecell_monitor_stream(monitor.get());
  CHECK(slidecell_stream_rows_seen(stream, 0) == truth.stream().rows_seen(0));
  Floats expected(kFeatures), ahead(kFeatures);
  CHECK(truth.stream().predict_next(0, expected.data()) == slidecell::Status::ok);
  CHECK(slidecell_stream_predict_next(stream, 0, ahead.data()) == SLIDECELL_OK);
  CHECK(same(ahead, expected));
  CHECK(slidecell_stream_set_background(stream, 1) == SLIDECELL_OK);
  CHECK(slidecell_stream_advance(stream) == SLIDECELL_OK);
  CHECK(slidecell_stream_set_background(stream, 0) == SLIDECELL_OK);
  slidecell_stream_free(stream);
  CHECK(slidecell_stream_num_entities(stream) == 2);
  CHECK(slidecell_stream_resize(stream, 3) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("got a monitor's") && slidecell_stream_num_entities(stream) == 2);
}

void test_errors(const std::string& path, const Floats& rows) {
  slidecell_monitor* made = nullptr;
  const auto create = [&](const std::string& smoothing, const std::string& threshold) {
    slidecell::write_model_file(path, file_with(smoothing, threshold));
    return slidecell_monitor_create(load(path).get(), 1, nullptr, &made);
  };
  CHECK(create("null", R"({"kind":"spot","q":0.001})") == SLIDECELL_UNSUPPORTED);
  CHECK(error_has("threshold: expected one with a fixed value, got 'spot'") && !made);
  CHECK(create("null", R"({"kind":"cusum","h":1})") == SLIDECELL_UNSUPPORTED && !made);
  CHECK(create(R"({"kind":"ewma","alpha":2})", "null") == SLIDECELL_INVALID_ARGUMENT && !made);
  CHECK(create("null", "null") == SLIDECELL_OK);
  const MonitorHandle monitor(made);
  CHECK(std::isnan(slidecell_monitor_threshold(monitor.get())));
  const ModelHandle model = load(path);
  CHECK(slidecell_monitor_create(nullptr, 1, nullptr, &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("model: ") && !made);
  CHECK(slidecell_monitor_create(model.get(), 1, nullptr, nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_monitor_create(model.get(), 0, nullptr, &made) == SLIDECELL_INVALID_ARGUMENT);
  slidecell_options options = {};
  options.aggregate = SLIDECELL_MEAN;
  CHECK(slidecell_monitor_create(model.get(), 1, &options, &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(!made);

  options = {};
  options.max_bytes = 100;
  CHECK(slidecell_monitor_create(model.get(), 1, &options, &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("max_bytes: expected at least ") && !made);
  slidecell_stream* stream = nullptr;
  CHECK(slidecell_stream_create(model.get(), 1, &options, &stream) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("max_bytes: expected at least ") && !stream);
  options.max_bytes = int64_t{1} << 20;
  CHECK(slidecell_stream_create(model.get(), 1, &options, &stream) == SLIDECELL_OK);
  slidecell_stream_free(stream);

  slidecell_event event = {7.0f, 7, 7.0};
  CHECK(slidecell_monitor_push(monitor.get(), 1, rows.data(), &event) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(error_has("entity: expected 0 to 0, got 1"));
  CHECK(slidecell_monitor_push(monitor.get(), 0, nullptr, &event) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("row: "));
  CHECK(slidecell_monitor_push_f64(monitor.get(), 0, nullptr, &event) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_monitor_push(monitor.get(), 0, rows.data(), nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("event: "));
  CHECK(slidecell_monitor_push(nullptr, 0, rows.data(), &event) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("monitor: "));
  CHECK(slidecell_monitor_reset(monitor.get(), 1) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(slidecell_monitor_reset(nullptr, 0) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(event.score == 7.0f && event.alarm == 7 && event.smoothed == 7.0);
  CHECK(slidecell_stream_rows_seen(slidecell_monitor_stream(monitor.get()), 0) == 0);
  CHECK(!slidecell_monitor_stream(nullptr) && std::isnan(slidecell_monitor_threshold(nullptr)));
  slidecell_monitor_free(nullptr);
}

}  // namespace

int main() {
  std::mt19937 rng(20240302);
  const Folder folder;
  const Floats rows = random_rows(rng);
  const std::string path = folder.file("model");
  for (const char* smoothing :
       {"null", R"({"kind":"ewma","alpha":0.3})", R"({"kind":"moving_average","n":4})",
        R"({"kind":"trailing_mean","n":4})"}) {
    test_events(path, smoothing, rows);
  }
  test_errors(path, rows);
  return slidecell::test::result();
}
