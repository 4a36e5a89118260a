// The C interface: the C++ one's numbers, a status and a text for every mistake, no exception.
#include "slidecell/slidecell.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "c_api.h"
#include "slidecell/model.hpp"
#include "slidecell/stream.hpp"
#include "test.h"

namespace {

using namespace slidecell::test;
using Model = ModelHandle;
using Stream = StreamHandle;

void test_scores(const Model& model, const slidecell::SequenceModel& truth, const Floats& rows) {
  CHECK(slidecell_model_input_size(model.get()) == kFeatures);
  CHECK(slidecell_model_window(model.get()) == truth.window());
  CHECK(slidecell_model_horizon(model.get()) == truth.horizon());
  CHECK(slidecell_model_num_targets(model.get()) == truth.num_targets());

  const slidecell::SeriesView series(rows.data(), kRows, kFeatures);
  Floats expected(kRows), scores(kRows, 7.0f);
  truth.score(series, {}, expected.data());
  CHECK(slidecell_score(model.get(), rows.data(), kRows, nullptr, 0, nullptr, scores.data()) ==
        SLIDECELL_OK);
  CHECK(same(scores, expected));

  slidecell::ScoreOptions options;
  options.reduction = slidecell::Reduction::mae;
  options.stride = 3;
  options.per_feature = true;
  slidecell_options c_options = {};
  c_options.reduction = SLIDECELL_MAE;
  c_options.stride = 3;
  c_options.per_feature = 1;
  c_options.num_threads = 1;
  expected.resize(kRows * kFeatures);
  scores.resize(kRows * kFeatures);
  truth.score(series, kOffsets, expected.data(), options);
  CHECK(slidecell_score(model.get(), rows.data(), kRows, kOffsets.data(), 3, &c_options,
                        scores.data()) == SLIDECELL_OK);
  CHECK(same(scores, expected));

  options.windows = slidecell::Windows::carried;
  c_options.windows = SLIDECELL_CARRIED;
  options.stride = 1;
  c_options.stride = 0;
  if (truth.horizon() > 0) truth.score(series, kOffsets, expected.data(), options);
  CHECK(slidecell_score(model.get(), rows.data(), kRows, kOffsets.data(), 3, &c_options,
                        scores.data()) ==
        (truth.horizon() > 0 ? SLIDECELL_OK : SLIDECELL_UNSUPPORTED));
  CHECK(same(scores, expected));
  CHECK(slidecell_score(model.get(), nullptr, 0, nullptr, 0, nullptr, nullptr) == SLIDECELL_OK);
}

// Pushes rows first .. last-1 to entity 1 of two; the scores and forecasts of all of them.
Floats push(const Stream& stream, const Model& model, const Floats& rows, std::int64_t first,
            std::int64_t last) {
  const std::int64_t ahead =
      slidecell_model_horizon(model.get()) * slidecell_model_num_targets(model.get());
  Floats out;
  for (std::int64_t r = first; r < last; ++r) {
    float score = 7.0f;
    CHECK(slidecell_stream_push(stream.get(), 1, rows.data() + r * kFeatures, &score) ==
          SLIDECELL_OK);
    out.push_back(score);
    out.resize(out.size() + static_cast<std::size_t>(ahead), 7.0f);
    if (ahead > 0) {
      CHECK(slidecell_stream_predict_next(stream.get(), 1, &*out.end() - ahead) == SLIDECELL_OK);
    }
    if (r % 2 == 0) CHECK(slidecell_stream_advance(stream.get()) == SLIDECELL_OK);
  }
  return out;
}

void test_stream(const Folder& folder, Model& model, const slidecell::SequenceModel& truth,
                 const Floats& rows) {
  const std::int64_t F = kFeatures;
  slidecell_options options = {};
  options.reduction = SLIDECELL_MAHALANOBIS;
  slidecell::Stream expected_stream(
      truth, 2, {slidecell::Precision::highest, slidecell::Reduction::mahalanobis, {}});
  const auto ahead = static_cast<std::size_t>(truth.horizon() * truth.num_targets());
  Floats expected;
  for (std::int64_t r = 0; r < kRows; ++r) {
    expected.push_back(0.0f);
    CHECK(expected_stream.push(1, rows.data() + r * F, expected.back()) == slidecell::Status::ok);
    Floats next(ahead);
    if (ahead > 0) CHECK(expected_stream.predict_next(1, next.data()) == slidecell::Status::ok);
    expected.insert(expected.end(), next.begin(), next.end());
  }

  const Stream stream = create(model, 2, &options);
  CHECK(slidecell_stream_num_entities(stream.get()) == 2);
  Floats got = push(stream, model, rows, 0, 30);
  const std::string state = folder.file("state");
  CHECK(slidecell_stream_save(stream.get(), state.c_str()) == SLIDECELL_OK);
  slidecell_stream* loaded = nullptr;
  CHECK(slidecell_stream_load(model.get(), state.c_str(), &loaded) == SLIDECELL_OK);
  const Stream second(loaded);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == 30);
  const Floats rest = push(second, model, rows, 30, kRows);
  got.insert(got.end(), rest.begin(), rest.end());
  CHECK(same(got, expected));

  CHECK(slidecell_stream_reset(second.get(), 1) == SLIDECELL_OK);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == 0);

  // Many at once, one entity more than once; and a stream outlives the caller's model.
  const Stream many = create(model, 40);
  const Stream one = create(model, 40);
  model.reset();
  std::vector<std::int64_t> entities;
  for (std::int64_t i = 0; i < kRows; ++i) entities.push_back(i % 40 == 39 ? 0 : i % 7);
  Floats together(kRows), single(kRows);
  CHECK(slidecell_stream_push_many(many.get(), entities.data(), rows.data(), kRows, 1,
                                   together.data()) == SLIDECELL_OK);
  for (std::int64_t i = 0; i < kRows; ++i) {
    const auto u = static_cast<std::size_t>(i);
    CHECK(slidecell_stream_push(one.get(), entities[u], rows.data() + i * F, &single[u]) ==
          SLIDECELL_OK);
  }
  CHECK(same(together, single));
  CHECK(slidecell_stream_push_many(many.get(), nullptr, nullptr, 0, 0, nullptr) == SLIDECELL_OK);
}

// Carried states, and their audit.
void test_carried_stream(const Model& model, const slidecell::SequenceModel& truth,
                         const Floats& rows) {
  slidecell_options options = {};
  options.windows = SLIDECELL_CARRIED;
  slidecell::StreamOptions expected_options;
  expected_options.mode = slidecell::Windows::carried;
  slidecell::Stream expected(truth, 2, expected_options);
  const Stream stream = create(model, 2, &options);
  for (std::int64_t r = 0; r < kRows; ++r) {
    const float* row = rows.data() + r * kFeatures;
    float want = 0.0f, got = 1.0f;
    CHECK(expected.push(1, row, want) == slidecell::Status::ok);
    CHECK(slidecell_stream_push(stream.get(), 1, row, &got) == SLIDECELL_OK);
    CHECK(slidecell::test::same(want, got));
  }
  const slidecell::SeamAudit seams = expected.audit(1);
  CHECK(seams.seams > 0);
  for (const std::int64_t entity : {1, -1}) {
    slidecell_audit audit = {};
    CHECK(slidecell_stream_audit(stream.get(), entity, &audit) == SLIDECELL_OK);
    CHECK(audit.seams == seams.seams);
    CHECK(audit.carried == seams.carried && audit.exact == seams.exact);
  }
  slidecell_audit audit = {7, 0, 0};
  CHECK(slidecell_stream_audit(stream.get(), 0, &audit) == SLIDECELL_OK);
  CHECK(audit.seams == 0 && audit.carried != audit.carried);
  CHECK(slidecell_stream_audit(stream.get(), 2, &audit) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("entity: expected 0 to 1, got 2"));
  CHECK(slidecell_stream_audit(nullptr, 0, &audit) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_audit(stream.get(), 0, nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("audit: expected a pointer"));
}

// A stream that is saved in memory, loaded and resized goes on as one that was made for so many.
void test_resized_stream(const Model& model, const Floats& rows) {
  slidecell_options options = {};
  options.reduction = SLIDECELL_MAE;
  const Stream stream = create(model, 2, &options), whole = create(model, 30, &options);
  CHECK(same(push(stream, model, rows, 0, 30), push(whole, model, rows, 0, 30)));

  std::int64_t size = -1, again = -1;
  CHECK(slidecell_stream_saved_bytes(stream.get(), nullptr, 0, &size) == SLIDECELL_OK);
  CHECK(size > 0);
  std::vector<char> bytes(static_cast<std::size_t>(size) + 1, 'x');
  CHECK(slidecell_stream_saved_bytes(stream.get(), bytes.data(), size, &again) == SLIDECELL_OK);
  CHECK(again == size && bytes.back() == 'x');
  slidecell_stream* loaded = nullptr;
  CHECK(slidecell_stream_from_saved_bytes(model.get(), bytes.data(), size, &loaded) ==
        SLIDECELL_OK);
  const Stream second(loaded);
  CHECK(slidecell_stream_resize(second.get(), 30) == SLIDECELL_OK);
  CHECK(slidecell_stream_num_entities(second.get()) == 30);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == 30);
  CHECK(slidecell_stream_rows_seen(second.get(), 29) == 0);
  CHECK(same(push(second, model, rows, 30, kRows), push(whole, model, rows, 30, kRows)));
  CHECK(slidecell_stream_resize(second.get(), 1) == SLIDECELL_OK);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == -1);

  CHECK(slidecell_stream_resize(second.get(), 0) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("num_entities: expected at least 1, got 0"));
  CHECK(slidecell_stream_num_entities(second.get()) == 1);
  CHECK(slidecell_stream_resize(nullptr, 1) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("stream: expected a pointer, got NULL"));
  bytes.assign(bytes.size(), 'x');
  CHECK(slidecell_stream_saved_bytes(stream.get(), bytes.data(), size - 1, &again) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has(("capacity: expected at least " + std::to_string(size) + " bytes").c_str()));
  CHECK(bytes == std::vector<char>(bytes.size(), 'x'));
  CHECK(slidecell_stream_saved_bytes(stream.get(), nullptr, size, &again) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("bytes: expected a pointer, got NULL"));
  CHECK(slidecell_stream_saved_bytes(stream.get(), bytes.data(), size, nullptr) ==
        SLIDECELL_INVALID_ARGUMENT);
  for (const std::int64_t n : {std::int64_t{0}, size - 1, size}) {
    CHECK(slidecell_stream_from_saved_bytes(model.get(), bytes.data(), n, &loaded) ==
          SLIDECELL_INVALID_ARGUMENT);
    CHECK(error_has("saved: ") && !loaded);
  }
  CHECK(slidecell_stream_from_saved_bytes(model.get(), nullptr, size, &loaded) ==
        SLIDECELL_INVALID_ARGUMENT);
}

// An entity goes on from its bytes in another stream, whose other entities stay as they are.
void test_restored_entity(const Model& model, const Floats& rows) {
  const Stream first = create(model, 2, nullptr), second = create(model, 2, nullptr);
  const std::int64_t F = slidecell_stream_input_size(first.get());
  float score = 0.0f, expected = 0.0f;
  for (std::int64_t i = 0; i < 30; ++i) {
    CHECK(slidecell_stream_push(first.get(), 1, rows.data() + i * F, &score) == SLIDECELL_OK);
  }
  std::int64_t size = -1, again = -1;
  CHECK(slidecell_stream_state_bytes(first.get(), 1, nullptr, 0, &size) == SLIDECELL_OK);
  std::vector<char> bytes(static_cast<std::size_t>(size));
  CHECK(slidecell_stream_state_bytes(first.get(), 1, bytes.data(), size, &again) == SLIDECELL_OK);
  CHECK(again == size && size > 88);
  CHECK(slidecell_stream_restore(second.get(), 0, bytes.data(), size) == SLIDECELL_OK);
  CHECK(slidecell_stream_rows_seen(second.get(), 0) == 30);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == 0);
  for (std::int64_t i = 30; i < kRows; ++i) {
    CHECK(slidecell_stream_push(first.get(), 1, rows.data() + i * F, &expected) == SLIDECELL_OK);
    CHECK(slidecell_stream_push(second.get(), 0, rows.data() + i * F, &score) == SLIDECELL_OK);
    CHECK(std::memcmp(&score, &expected, sizeof score) == 0);
  }
  CHECK(slidecell_stream_state_bytes(first.get(), 1, bytes.data(), size - 1, &again) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("capacity: expected at least"));
  CHECK(slidecell_stream_state_bytes(first.get(), 2, nullptr, 0, &size) ==
        SLIDECELL_UNKNOWN_ENTITY);
  CHECK(slidecell_stream_restore(second.get(), -1, bytes.data(), again) ==
        SLIDECELL_UNKNOWN_ENTITY);
  bytes[70] = static_cast<char>(bytes[70] ^ 0x40);
  CHECK(slidecell_stream_restore(second.get(), 1, bytes.data(), again) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_rows_seen(second.get(), 1) == 0);
  CHECK(slidecell_stream_restore(second.get(), 1, nullptr, again) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_restore(nullptr, 1, bytes.data(), again) == SLIDECELL_INVALID_ARGUMENT);
}

void test_load_errors(const Folder& folder, const std::string& good) {
  slidecell_model* model = nullptr;
  const std::string missing = folder.file("missing");
  CHECK(slidecell_model_load(missing.c_str(), &model) == SLIDECELL_IO_ERROR);
  CHECK(error_has("missing: no such file"));
  const std::string damaged = folder.file("damaged");
  std::ofstream(damaged) << "no model";
  CHECK(slidecell_model_load(damaged.c_str(), &model) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("damaged: "));
  CHECK(!model);
  CHECK(slidecell_model_load(nullptr, &model) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("path: expected a pointer, got NULL"));
  CHECK(slidecell_model_load(good.c_str(), nullptr) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("model: expected a pointer"));
  // A text as long as a path may be is cut, not overrun.
  CHECK(slidecell_model_load(std::string(3000, 'x').c_str(), &model) == SLIDECELL_IO_ERROR);
  CHECK(std::string(slidecell_last_error()).size() == 1023);

  CHECK(slidecell_model_window(nullptr) == -1);
  CHECK(slidecell_stream_num_entities(nullptr) == -1);
  slidecell_model_free(nullptr);
  slidecell_stream_free(nullptr);
}

void test_score_errors(const Model& model, const Floats& rows) {
  Floats scores(kRows, 7.0f);
  const auto score = [&](const float* series, std::int64_t S,
                         const std::vector<std::int64_t>& offsets, const slidecell_options& opts) {
    return slidecell_score(model.get(), series, S, offsets.empty() ? nullptr : offsets.data(),
                           static_cast<std::int64_t>(offsets.size()) - 1, &opts, scores.data());
  };
  const slidecell_options none = {};
  CHECK(score(nullptr, kRows, {}, none) == SLIDECELL_INVALID_ARGUMENT && error_has("series: "));
  CHECK(score(rows.data(), -1, {}, none) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("num_rows: expected 0 or more, got -1"));
  CHECK(score(rows.data(), kRows, {0, 10}, none) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("offsets: "));
  CHECK(score(rows.data(), kRows, {0, 90, 60}, none) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_score(nullptr, rows.data(), kRows, nullptr, 0, nullptr, scores.data()) ==
        SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("model: "));
  slidecell_options options = {};
  options.reduction = 5;
  CHECK(score(rows.data(), kRows, {}, options) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("reduction: expected 0 to 4, got 5"));
  options = {};
  options.stride = -1;
  CHECK(score(rows.data(), kRows, {}, options) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("stride: "));
  options = {};
  options.aggregate = SLIDECELL_LAST;  // of a forecaster
  CHECK(score(rows.data(), kRows, {}, options) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("aggregate: "));
  options = {};
  options.windows = 2;
  CHECK(score(rows.data(), kRows, {}, options) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("windows: expected 0 to 1, got 2"));
  options.windows = SLIDECELL_CARRIED;
  options.stride = 1000;
  CHECK(score(rows.data(), kRows, {}, options) == SLIDECELL_UNSUPPORTED);
  CHECK(error_has("windows: expected 'exact' where stride is above "));
  CHECK(same(scores, Floats(kRows, 7.0f)));
}

void test_stream_errors(const Folder& folder, const Model& model, const Model& autoencoder,
                        const Floats& rows) {
  slidecell_stream* made = nullptr;
  CHECK(slidecell_stream_create(model.get(), 0, nullptr, &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("num_entities: expected at least 1, got 0"));
  CHECK(slidecell_stream_create(nullptr, 1, nullptr, &made) == SLIDECELL_INVALID_ARGUMENT);
  slidecell_options options = {};
  options.per_feature = 1;
  CHECK(slidecell_stream_create(model.get(), 1, &options, &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("per_feature"));
  CHECK(!made);

  const Stream stream = create(model, 2);
  float score = 7.0f;
  CHECK(slidecell_stream_push(stream.get(), 2, rows.data(), &score) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(error_has("entity: expected 0 to 1, got 2"));
  CHECK(slidecell_stream_push(stream.get(), -1, rows.data(), &score) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(slidecell_stream_push(stream.get(), 0, nullptr, &score) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_push(nullptr, 0, rows.data(), &score) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has("stream: expected a pointer, got NULL"));
  CHECK(slidecell_stream_reset(stream.get(), 9) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(slidecell_stream_advance(nullptr) == SLIDECELL_INVALID_ARGUMENT);
  const std::vector<std::int64_t> entities = {0, 1, 5};
  Floats scores(3, 7.0f);
  CHECK(slidecell_stream_push_many(stream.get(), entities.data(), rows.data(), 3, 1,
                                   scores.data()) == SLIDECELL_UNKNOWN_ENTITY);
  CHECK(error_has("got 5"));
  CHECK(slidecell_stream_push_many(stream.get(), entities.data(), rows.data(), -1, 1,
                                   scores.data()) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_stream_rows_seen(stream.get(), 0) == 0);
  CHECK(slidecell_stream_rows_seen(stream.get(), 2) == -1);
  CHECK(score == 7.0f && same(scores, Floats(3, 7.0f)));

  Floats ahead(kFeatures);
  const Stream other = create(autoencoder, 1);
  CHECK(slidecell_stream_predict_next(other.get(), 0, ahead.data()) == SLIDECELL_NOT_A_FORECASTER);
  CHECK(error_has("not a forecaster"));
  CHECK(slidecell_stream_predict_next(stream.get(), 0, nullptr) == SLIDECELL_INVALID_ARGUMENT);

  const std::string state = folder.file("other-state");
  CHECK(slidecell_stream_save(other.get(), state.c_str()) == SLIDECELL_OK);
  CHECK(slidecell_stream_load(model.get(), state.c_str(), &made) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(error_has(state.c_str()) && !made);
  CHECK(slidecell_stream_load(model.get(), folder.file("none").c_str(), &made) ==
        SLIDECELL_IO_ERROR);
  CHECK(slidecell_stream_save(stream.get(), folder.file("no/folder").c_str()) ==
        SLIDECELL_IO_ERROR);
}

// Another thread's failure is not this one's.
void test_error_is_the_threads_own(const std::string& good) {
  CHECK(slidecell_model_load(nullptr, nullptr) == SLIDECELL_INVALID_ARGUMENT);
  std::string before = "unset";
  std::thread([&] {
    before = slidecell_last_error();
    slidecell_model* model = nullptr;
    CHECK(slidecell_model_load("/none", &model) == SLIDECELL_IO_ERROR && error_has("/none"));
  }).join();
  CHECK(before.empty());
  CHECK(error_has("model: expected a pointer"));
  load(good);  // nor does a success clear it
  CHECK(error_has("model: expected a pointer"));
}

}  // namespace

int main() {
  std::mt19937 rng(20240229);
  const Folder folder;
  const Floats rows = random_rows(rng);
  const std::string paths[] = {folder.file("forecaster"), folder.file("autoencoder")};
  slidecell::write_model_file(paths[0], model_file(2, rng));
  slidecell::write_model_file(paths[1], model_file(0, rng));
  for (const std::string& path : paths) {
    const auto truth = slidecell::SequenceModel::load(path);
    Model model = load(path);
    test_scores(model, truth, rows);
    if (truth.horizon() > 0) test_carried_stream(model, truth, rows);
    test_restored_entity(model, rows);
    test_resized_stream(model, rows);
    test_stream(folder, model, truth, rows);
  }
  test_load_errors(folder, paths[0]);
  test_score_errors(load(paths[0]), rows);
  test_stream_errors(folder, load(paths[0]), load(paths[1]), rows);
  test_error_is_the_threads_own(paths[0]);
  return slidecell::test::result();
}
