// Models of the C interface beyond scores of float rows: double rows, windows, predictions, codes,
// names, plans, decisions, instruction sets.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "c_api.h"
#include "slidecell/cpu.hpp"
#include "slidecell/model.hpp"
#include "slidecell/slidecell.h"
#include "slidecell/stream.hpp"
#include "test.h"

namespace {

using namespace slidecell::test;
using Doubles = std::vector<double>;

// Counters: a float holds them to within 64, which is no small part of their scaled values.
constexpr double kCounter = 1e9;

Doubles counters(const Floats& rows) {
  Doubles values;
  for (const float x : rows) values.push_back(kCounter + 100.0 * static_cast<double>(x));
  return values;
}

slidecell::ModelFile counter_file(std::int64_t horizon, std::mt19937& rng) {
  slidecell::ModelFile file = model_file(horizon, rng);
  const auto replace = [&](const std::string& key, const std::string& value) {
    const std::size_t at = file.metadata.find("\"" + key + "\":");
    const std::size_t begin = at + key.size() + 3;
    const bool list = file.metadata[begin] == '[';
    const std::size_t end = file.metadata.find(list ? ']' : ',', begin) + (list ? 1 : 0);
    file.metadata.replace(begin, end - begin, value);
  };
  replace("center", "[1e9,1e9,1e9]");
  replace("scale", "[100,100,100]");
  replace("features", R"(["load","h\u00e9at","flow"])");
  replace("smoothing", R"({"kind":"ewma","alpha":0.25})");
  file.metadata.replace(file.metadata.find("\"threshold\":null"), 16,
                        R"("threshold":{"kind":"fixed","value":1.5})");
  return file;
}

void test_double_rows(const ModelHandle& model, const slidecell::SequenceModel& truth,
                      const Floats& rows) {
  const Doubles values = counters(rows);
  const Floats rounded(values.begin(), values.end());
  Floats expected(kRows), scores(kRows, 7.0f), coarse(kRows, 7.0f);
  truth.score(slidecell::SeriesView(values.data(), kRows, kFeatures), kOffsets, expected.data());
  CHECK(slidecell_score_f64(model.get(), values.data(), kRows, kOffsets.data(), 3, nullptr,
                            scores.data()) == SLIDECELL_OK);
  CHECK(same(scores, expected));
  CHECK(slidecell_score(model.get(), rounded.data(), kRows, kOffsets.data(), 3, nullptr,
                        coarse.data()) == SLIDECELL_OK);
  double change = 0;  // what float rows would have cost
  for (std::size_t s = 0; s < scores.size(); ++s) {
    if (!std::isnan(scores[s])) change = std::fmax(change, std::fabs(coarse[s] / scores[s] - 1.0f));
  }
  CHECK(change > 1e-3);

  const StreamHandle one = create(model, 2), many = create(model, 2);
  std::vector<std::int64_t> entities;
  Floats pushed, together(kRows);
  for (std::int64_t s = 0; s < kRows; ++s) {
    entities.push_back(s < kOffsets[1] ? 0 : 1);
    pushed.push_back(7.0f);
    CHECK(slidecell_stream_push_f64(one.get(), entities.back(), values.data() + s * kFeatures,
                                    &pushed.back()) == SLIDECELL_OK);
  }
  CHECK(slidecell_stream_push_many_f64(many.get(), entities.data(), values.data(), kRows, 1,
                                       together.data()) == SLIDECELL_OK);
  slidecell_options options = {};
  options.kernel = SLIDECELL_FMA;
  CHECK(slidecell_score_f64(model.get(), values.data(), kRows, kOffsets.data(), 3, &options,
                            scores.data()) == SLIDECELL_OK);
  CHECK(same(pushed, scores));
  CHECK(same(together, scores));
  CHECK(slidecell_stream_push_f64(one.get(), 0, nullptr, &pushed[0]) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("row: expected a pointer, got NULL"));
}

void test_windows(const ModelHandle& model, const slidecell::SequenceModel& truth,
                  const Floats& rows) {
  const Doubles values = counters(rows);
  const Floats floats(values.begin(), values.end());
  for (const std::int64_t stride : std::vector<std::int64_t>{0, 1, 4, INT64_MAX}) {
    const slidecell::WindowPlan plan(kOffsets, truth.window(), truth.horizon(),
                                     stride == 0 ? 1 : stride);
    const std::int64_t N = plan.size();
    std::int64_t count = -1;
    CHECK(slidecell_num_windows(model.get(), kRows, kOffsets.data(), 3, stride, &count) ==
          SLIDECELL_OK);
    CHECK(count == N && N > 0);
    std::vector<std::int64_t> starts(static_cast<std::size_t>(N), -1);
    CHECK(slidecell_window_starts(model.get(), kRows, kOffsets.data(), 3, stride, starts.data()) ==
          SLIDECELL_OK);
    for (std::int64_t i = 0; i < N; ++i) {
      CHECK(starts[static_cast<std::size_t>(i)] == plan.start(i));
    }
    const std::int64_t steps = truth.horizon() > 0 ? truth.horizon() : truth.window();
    Floats expected(static_cast<std::size_t>(N * steps * truth.num_targets())), got(expected);
    const slidecell::SeriesView view(values.data(), kRows, kFeatures);
    truth.predict(view, plan, expected.data());
    CHECK(slidecell_predict_f64(model.get(), values.data(), kRows, kOffsets.data(), 3, stride, 1,
                                got.data()) == SLIDECELL_OK);
    CHECK(same(got, expected));
    truth.predict(slidecell::SeriesView(floats.data(), kRows, kFeatures), plan, expected.data());
    CHECK(slidecell_predict(model.get(), floats.data(), kRows, kOffsets.data(), 3, stride, 1,
                            got.data()) == SLIDECELL_OK);
    CHECK(same(got, expected));

    CHECK(slidecell_model_code_size(model.get()) == truth.code_size());
    expected.resize(static_cast<std::size_t>(N * truth.code_size()));
    got.assign(expected.size(), 7.0f);
    truth.encode(view, plan, expected.data());
    CHECK(slidecell_encode_f64(model.get(), values.data(), kRows, kOffsets.data(), 3, stride, 1,
                               got.data()) == SLIDECELL_OK);
    CHECK(same(got, expected));
    truth.encode(slidecell::SeriesView(floats.data(), kRows, kFeatures), plan, expected.data());
    CHECK(slidecell_encode(model.get(), floats.data(), kRows, kOffsets.data(), 3, stride, 0,
                           got.data()) == SLIDECELL_OK);
    CHECK(same(got, expected));
  }
}

void test_window_errors(const ModelHandle& model, const Floats& rows) {
  std::int64_t count = 7;
  Floats out(kRows * 100, 7.0f);
  CHECK(slidecell_num_windows(nullptr, kRows, nullptr, 0, 0, &count) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_num_windows(model.get(), -1, nullptr, 0, 0, &count) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("num_rows: expected 0 or more, got -1"));
  CHECK(slidecell_num_windows(model.get(), kRows, nullptr, 0, -2, &count) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("stride: "));
  CHECK(slidecell_num_windows(model.get(), 50, kOffsets.data(), 3, 0, &count) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("offsets: expected to end at 50 (num_rows), got 60") && count == 7);
  CHECK(slidecell_num_windows(model.get(), kRows, nullptr, 0, 0, nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_window_starts(model.get(), kRows, nullptr, 0, 0, nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("starts: expected a pointer, got NULL"));
  CHECK(slidecell_predict(model.get(), nullptr, kRows, nullptr, 0, 0, 0, out.data()) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("series: "));
  CHECK(slidecell_predict(model.get(), rows.data(), kRows, nullptr, 0, 0, 0, nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("predictions: "));
  CHECK(slidecell_predict(model.get(), rows.data(), kRows, nullptr, 0, 0, -1, out.data()) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("num_threads: "));
  CHECK(slidecell_encode(model.get(), rows.data(), kRows, nullptr, 0, 0, 0, nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("codes: "));
  CHECK(same(out, Floats(out.size(), 7.0f)));
  // Nothing to write: nothing is asked for.
  CHECK(slidecell_predict(model.get(), nullptr, 0, nullptr, 0, 0, 0, nullptr) == SLIDECELL_OK);
  CHECK(slidecell_encode(model.get(), rows.data(), 2, nullptr, 0, 0, 0, nullptr) == SLIDECELL_OK);
}

void test_what_the_file_says(const ModelHandle& model, const ModelHandle& nameless) {
  CHECK(std::string(slidecell_model_feature(model.get(), 0)) == "load");
  CHECK(std::string(slidecell_model_feature(model.get(), 1)) ==
        "h\xc3\xa9"
        "at");
  CHECK(std::string(slidecell_model_feature(model.get(), 2)) == "flow");
  CHECK(!slidecell_model_feature(model.get(), 3) && !slidecell_model_feature(model.get(), -1));
  CHECK(!slidecell_model_feature(nameless.get(), 0) && !slidecell_model_feature(nullptr, 0));
  slidecell_decision decision = {};
  CHECK(slidecell_model_decision(model.get(), &decision) == SLIDECELL_OK);
  CHECK(decision.threshold == 1.5 && decision.ewma_alpha == 0.25 && decision.moving_average == 0);
  CHECK(slidecell_model_decision(nameless.get(), &decision) == SLIDECELL_OK);
  CHECK(std::isnan(decision.threshold) && decision.ewma_alpha == 0);
  CHECK(decision.trailing_mean == 0 && decision.reduction == -1);
  CHECK(slidecell_model_decision(model.get(), nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_model_decision(nullptr, &decision) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_model_code_size(nullptr) == -1);
  CHECK(slidecell_model_reduction(nameless.get()) == -1);
  CHECK(slidecell_model_reduction(nullptr) == -1);
}

void test_plans(const ModelHandle& model, const slidecell::SequenceModel& truth) {
  slidecell_plan plan = {};
  CHECK(slidecell_model_plan(model.get(), nullptr, &plan) == SLIDECELL_OK);
  const slidecell::KernelPlan expected = truth.plan();
  CHECK(plan.isa == expected.isa && plan.kernel == expected.kernel);
  CHECK(plan.precision == expected.precision && plan.tile == expected.tile);
  CHECK(plan.threads == expected.threads);
  slidecell_options options = {};
  options.kernel = SLIDECELL_FMA;
  options.precision = SLIDECELL_MEDIUM;
  options.num_threads = 2;
  CHECK(slidecell_model_plan(model.get(), &options, &plan) == SLIDECELL_OK);
  CHECK(std::string(plan.kernel).rfind("fma", 0) == 0 && plan.threads >= 1);
  options.kernel = SLIDECELL_AUTOMATIC;
  options.precision = SLIDECELL_LOW;
  CHECK(slidecell_model_plan(model.get(), &options, &plan) == SLIDECELL_OK);
  CHECK(std::string(plan.kernel).rfind("int8", 0) == 0 && plan.precision == std::string("low"));
  options.precision = 4;
  CHECK(slidecell_model_plan(model.get(), &options, &plan) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("precision: expected 0 to 3, got 4"));
  options.precision = SLIDECELL_HIGHEST;
  options.kernel = 3;
  CHECK(slidecell_model_plan(model.get(), &options, &plan) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("kernel: expected 0 to 2, got 3"));

  const StreamHandle stream = create(model, 1);
  const slidecell::Stream same_stream(truth, 1);
  CHECK(slidecell_stream_plan(stream.get(), &plan) == SLIDECELL_OK);
  CHECK(plan.kernel == same_stream.plan().kernel && plan.tile == same_stream.plan().tile);
  CHECK(slidecell_stream_plan(nullptr, &plan) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_input_size(stream.get()) == kFeatures);
  CHECK(slidecell_stream_input_size(nullptr) == -1);
  CHECK(slidecell_stream_bytes_per_entity(stream.get()) == same_stream.bytes_per_entity());
  CHECK(slidecell_stream_bytes_per_entity(nullptr) == -1);
}

void test_kernels(const ModelHandle& model, const Floats& rows) {
  slidecell_options options = {};
  options.kernel = SLIDECELL_MATRIX;
  Floats scores(kRows, 7.0f);
  CHECK(slidecell_set_isa("scalar") == SLIDECELL_OK);  // which has no bf16 products
  CHECK(slidecell_score(model.get(), rows.data(), kRows, nullptr, 0, &options, scores.data()) ==
        SLIDECELL_UNSUPPORTED);
  CHECK(same(scores, Floats(kRows, 7.0f)));
  slidecell_stream* stream = nullptr;
  CHECK(slidecell_stream_create(model.get(), 1, &options, &stream) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("kernel: ") && !stream);
}

void test_isas() {
  const std::vector<std::string> names = slidecell::available_isas();
  std::int32_t count = 0;
  for (; slidecell_isa(count); ++count) {
    const auto i = static_cast<std::size_t>(count);
    CHECK(i < names.size() && slidecell_isa(count) == names[i]);
    CHECK(!slidecell_isa_refusal(slidecell_isa(count)));
    CHECK(slidecell_set_isa(slidecell_isa(count)) == SLIDECELL_OK);
    const char* active = nullptr;
    CHECK(slidecell_active_isa(&active) == SLIDECELL_OK && active == names[i]);
  }
  CHECK(static_cast<std::size_t>(count) == names.size() && !slidecell_isa(-1));
  for (const auto& [name, reason] : slidecell::refused_isas()) {
    CHECK(slidecell_isa_refusal(name.c_str()) == reason);
  }
  CHECK(!slidecell_isa_refusal("none") && !slidecell_isa_refusal(nullptr));
  CHECK(slidecell_set_isa("none") == SLIDECELL_UNSUPPORTED && error_has("none"));
  CHECK(slidecell_set_isa(nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_active_isa(nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_default_num_threads() == slidecell::default_num_threads());
  CHECK(slidecell_had_fewer_threads() == (slidecell::had_fewer_threads() ? 1 : 0));
}

}  // namespace

int main() {
  std::mt19937 rng(20240301);
  const Folder folder;
  const Floats rows = random_rows(rng);
  const std::string nameless = folder.file("nameless");
  slidecell::write_model_file(nameless, model_file(1, rng));
  for (const std::int64_t horizon : {2, 0}) {
    const std::string path = folder.file("model");
    slidecell::write_model_file(path, counter_file(horizon, rng));
    const auto truth = slidecell::SequenceModel::load(path);
    const ModelHandle model = load(path);
    test_double_rows(model, truth, rows);
    test_windows(model, truth, rows);
    test_window_errors(model, rows);
    test_what_the_file_says(model, load(nameless));
    test_plans(model, truth);
  }
  test_isas();
  test_kernels(load(nameless), rows);
  return slidecell::test::result();
}
