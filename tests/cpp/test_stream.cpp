// Streams against SequenceModel::score and predict, bit for bit, once per ISA.
#include "slidecell/stream.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/fnv.h"
#include "models.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::int64_t below(std::int64_t n, std::mt19937& rng) {
  return static_cast<std::int64_t>(rng() % static_cast<std::uint32_t>(n));
}

// A file that goes when the test does.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::random_device seed;
    path_ = (std::filesystem::temp_directory_path() /
             ("slidecell-" + std::to_string(seed()) + std::to_string(seed())))
                .string();
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The rows of some entities, each reset once on the way, and what score and predict say of them:
// a reset starts an entity of its own.
struct Truth {
  std::int64_t entities, features, predicted;
  std::vector<std::int64_t> first, reset, end;  // [entities]: rows in `rows`
  std::vector<double> rows;                     // [S, F]
  Floats scores;                                // [S]
  std::vector<Floats> ahead;                    // [S]: of the window that ends here, or empty

  const double* row(std::int64_t r) const { return rows.data() + r * features; }
};

SeriesView view_of(const double* rows, std::int64_t n, std::int64_t features) {
  SeriesView view;
  view.data = rows;
  view.dtype = DType::f64;
  view.rows = n;
  view.cols = features;
  view.row_stride = static_cast<std::ptrdiff_t>(sizeof(double)) * features;
  view.col_stride = sizeof(double);
  return view;
}

Truth make_truth(const SequenceModel& model, std::int64_t entities, const StreamOptions& stream,
                 std::mt19937& rng) {
  const std::int64_t F = model.input_size(), W = model.window(), K = model.horizon();
  Truth t{entities, F, K * model.num_targets(), {}, {}, {}, {}, {}, {}};
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t e = 0; e < entities; ++e) {
    const std::int64_t n = below(3 * (W + K) + 6, rng);
    t.first.push_back(offsets.back());
    t.end.push_back(t.first.back() + n);
    t.reset.push_back(t.first.back() + below(n + 1, rng));
    offsets.push_back(t.reset.back());
    offsets.push_back(t.end.back());
  }
  const std::int64_t S = offsets.back();
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (std::int64_t i = 0; i < S * F; ++i) {
    // Rows are as float32, so that pushing them as float or as double is the same.
    t.rows.push_back(static_cast<double>(static_cast<float>(uniform(rng))));
  }
  for (std::int64_t r = 0; r < S; ++r) {
    double& value = t.rows[static_cast<std::size_t>(r * F + below(F, rng))];
    if (rng() % 16 == 0) value = rng() % 2 == 0 ? NAN : -INFINITY;
  }
  ScoreOptions options;
  options.reduction = stream.reduction;
  options.aggregate = stream.aggregate;
  options.num_threads = 1;
  const SeriesView series = view_of(t.rows.data(), S, F);
  t.scores.resize(static_cast<std::size_t>(S));
  options.kernel = Kernel::fma;  // whose bits a stream has
  model.score(series, offsets, t.scores.data(), options);
  t.ahead.resize(static_cast<std::size_t>(S));
  if (K == 0) return t;
  const WindowPlan plan(offsets, W, K);
  Floats predictions(static_cast<std::size_t>(plan.size() * t.predicted));
  model.predict(series, plan, predictions.data(), 1);
  for (std::int64_t i = 0; i < plan.size(); ++i) {
    const auto at = predictions.begin() + i * t.predicted;
    t.ahead[static_cast<std::size_t>(plan.start(i) + W - 1)].assign(at, at + t.predicted);
  }
  return t;
}

// Goes on from the stream's file, on another active ISA: the stream keeps its own.
Stream saved_and_loaded(const SequenceModel& model, Stream& stream) {
  const TemporaryFile file;
  stream.save(file.path());
  const std::string isa = active_isa();
  set_isa(available_isas().front());
  Stream loaded = Stream::load(model, file.path());
  set_isa(isa);
  return loaded;
}

void test_resize(std::mt19937& rng) {
  ModelSpec spec;
  spec.window = 2;
  spec.horizon = 1;
  spec.encoder = {test::random_layer(3, rng)};
  const SequenceModel model = test::random_model(spec, rng);
  Stream stream(model, 3);
  const Floats row(static_cast<std::size_t>(model.input_size()), 0.5f);
  float score = 0.0f;
  for (const std::int64_t e : {0, 1, 1, 2}) CHECK(stream.push(e, row.data(), score) == Status::ok);
  CHECK_THROWS(stream.resize(0), std::invalid_argument, "num_entities: expected at least 1");
  CHECK_THROWS(stream.resize(std::numeric_limits<std::int64_t>::max()), std::invalid_argument,
               "num_entities: expected at most");
  CHECK(stream.num_entities() == 3 && stream.rows_seen(2) == 1);
  stream.resize(2);
  CHECK(stream.rows_seen(1) == 2 && stream.rows_seen(2) == -1);
  CHECK(stream.push(2, row.data(), score) == Status::unknown_entity);
  stream.resize(20);
  CHECK(stream.rows_seen(1) == 2 && stream.rows_seen(2) == 0 && stream.rows_seen(19) == 0);
}

void check_ahead(const Stream& stream, const Truth& t, std::int64_t e, std::int64_t r) {
  const Floats& expected = t.ahead[static_cast<std::size_t>(r)];
  if (expected.empty()) return;
  Floats got(expected.size());
  CHECK(stream.predict_next(e, got.data()) == Status::ok);
  CHECK(same(got, expected));
}

// One row at a time, entities in random order.
void test_push(const SequenceModel& model, const StreamOptions& options, const Truth& t,
               std::mt19937& rng) {
  Stream stream(model, t.entities, options);
  std::vector<std::int64_t> next = t.first, open;
  for (std::int64_t e = 0; e < t.entities; ++e) open.push_back(e);
  stream.set_background(rng() % 4 == 0);
  const std::int64_t saved = below(1 + static_cast<std::int64_t>(t.scores.size()), rng);
  for (std::int64_t done = 0; !open.empty(); ++done) {
    const std::size_t pick = rng() % open.size();
    const std::int64_t e = open[pick], r = next[static_cast<std::size_t>(e)];
    if (r == t.end[static_cast<std::size_t>(e)]) {
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(pick));
      continue;
    }
    if (r == t.reset[static_cast<std::size_t>(e)]) {
      CHECK(stream.reset(e) == Status::ok);
      CHECK(stream.rows_seen(e) == 0);
    }
    ++next[static_cast<std::size_t>(e)];
    float score = 0.0f;
    if (rng() % 2 == 0) {
      CHECK(stream.push(e, t.row(r), score) == Status::ok);
    } else {
      const Floats row(t.row(r), t.row(r) + t.features);
      CHECK(stream.push(e, row.data(), score) == Status::ok);
    }
    CHECK(same(score, t.scores[static_cast<std::size_t>(r)]));
    if (rng() % 3 == 0) stream.advance();
    if (rng() % 2 == 0) check_ahead(stream, t, e, r);
    if (done == saved) stream = saved_and_loaded(model, stream);
    // With few entities and many, the windows are laid out differently.
    if (rng() % 16 == 0) stream.resize(t.entities + below(40, rng));
  }
}

// Random subsets with repeats, on one thread or two.
void test_push_many(const SequenceModel& model, const StreamOptions& options, const Truth& t,
                    std::mt19937& rng) {
  Stream stream(model, t.entities, options);
  std::vector<std::int64_t> next = t.first;
  std::size_t done = 0;
  bool saved = false;
  while (done < t.scores.size()) {
    std::vector<std::int64_t> entities, sources;
    std::vector<double> rows;
    std::vector<bool> closed(next.size());  // has met its reset in this call
    const bool everyone = rng() % 2 == 0;
    for (std::int64_t k = 0; k < (everyone ? t.entities : 1 + below(2 * t.entities, rng)); ++k) {
      const std::int64_t e = everyone ? k : below(t.entities, rng);
      const auto i = static_cast<std::size_t>(e);
      if (next[i] == t.end[i] || closed[i]) continue;
      if (next[i] == t.reset[i] && std::count(entities.begin(), entities.end(), e) > 0) {
        closed[i] = true;
        continue;
      }
      if (next[i] == t.reset[i]) CHECK(stream.reset(e) == Status::ok);
      entities.push_back(e);
      sources.push_back(next[i]);
      rows.insert(rows.end(), t.row(next[i]), t.row(next[i]) + t.features);
      ++next[i];
    }
    Floats scores(entities.size(), 7.0f);
    const auto n = static_cast<std::int64_t>(entities.size());
    stream.push_many(entities, view_of(rows.data(), n, t.features), scores.data(),
                     1 + static_cast<int>(rng() % 2));
    for (std::size_t k = 0; k < entities.size(); ++k) {
      CHECK(same(scores[k], t.scores[static_cast<std::size_t>(sources[k])]));
      if (next[static_cast<std::size_t>(entities[k])] == sources[k] + 1) {
        check_ahead(stream, t, entities[k], sources[k]);
      }
    }
    done += entities.size();
    if (rng() % 4 == 0) stream.resize(t.entities + below(40, rng));
    if (!saved && 2 * done > t.scores.size()) {
      stream = saved_and_loaded(model, stream);
      saved = true;
    }
  }
}

void test_random(std::mt19937& rng) {
  const std::vector<std::int64_t> counts = {1, 2, 7, 8, 17, 40};
  const ModelSpec spec = test::random_spec(rng);
  const SequenceModel model = test::random_model(spec, rng);
  StreamOptions options;
  constexpr Reduction kReductions[] = {Reduction::mse, Reduction::mae, Reduction::mahalanobis,
                                       Reduction::calibrated};
  options.reduction = kReductions[rng() % (test::calibrated(spec) ? 4 : spec.error ? 3 : 2)];
  if (spec.horizon == 0 && rng() % 2 == 0) options.aggregate = Aggregate::last;
  const Truth truth = make_truth(model, counts[rng() % counts.size()], options, rng);
  test_push(model, options, truth, rng);
  test_push_many(model, options, truth, rng);
}

// More entities than fit into one block.
void test_blocks(std::mt19937& rng) {
  for (const std::int64_t horizon : {0, 2}) {
    ModelSpec spec;
    spec.window = 3;
    spec.horizon = horizon;
    for (LayerSpec layer : {test::random_layer(4, rng), test::random_layer(4, rng)}) {
      layer.bidirectional = false;
      spec.encoder.push_back(layer);
      if (horizon == 0) spec.decoder.push_back(layer);
    }
    const SequenceModel model = test::random_model(spec, rng);
    const Truth truth = make_truth(model, 209, {}, rng);
    test_push(model, {}, truth, rng);
    test_push_many(model, {}, truth, rng);
  }
}

// bf16 weights move a prediction by their rounding, 2^-9 of each product, and no more: W steps of
// sums of about 30 products below 0.1 stay under this.
void test_medium(std::mt19937& rng) {
  constexpr float kTolerance = 2e-2f;
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    ModelSpec spec;
    LayerSpec layer;
    layer.cell = cell;
    layer.input_size = 5;
    layer.hidden_size = 33;
    spec.window = 7;
    spec.encoder = {layer, layer};
    const SequenceModel model = test::random_model(spec, rng);
    StreamOptions options;
    options.precision = Precision::medium;
    Stream highest(model, 1), medium(model, 1, options);
    for (int n = 0; n < 20; ++n) {
      const Floats row = test::detail::random_tensor({5}, 1.0, rng).data;
      Floats expected(5), got(5);
      float score = 0.0f;
      CHECK(highest.push(0, row.data(), score) == Status::ok);
      CHECK(medium.push(0, row.data(), score) == Status::ok);
      CHECK(highest.predict_next(0, expected.data()) == Status::ok);
      CHECK(medium.predict_next(0, got.data()) == Status::ok);
      for (std::size_t i = 0; i < got.size(); ++i) {
        CHECK(n + 1 < spec.window || std::abs(got[i] - expected[i]) <= kTolerance);
      }
    }
  }
}

ModelSpec small_spec(std::int64_t horizon = 1) {
  ModelSpec spec;
  LayerSpec layer;
  layer.input_size = 2;
  layer.hidden_size = 5;
  spec.window = 4;
  spec.horizon = horizon;
  spec.encoder = {layer};
  if (horizon == 0) spec.decoder = {layer};
  return spec;
}

// A row that is too large scores infinity, also before the first window; later ones as if it were
// missing. The same bits as the batch, pushed one by one, together, and after a save.
void test_too_large_rows(std::mt19937& rng) {
  for (const std::int64_t horizon : {0, 2}) {
    const SequenceModel model = test::random_model(small_spec(horizon), rng);
    constexpr std::int64_t S = 40;
    std::vector<double> rows;
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (std::int64_t i = 0; i < 2 * S; ++i) rows.push_back(uniform(rng));
    rows[2] = 1e39;
    rows[2 * 20 + 1] = -1e300;
    rows[2 * 30] = 1e39, rows[2 * 30 + 1] = NAN;
    Floats expected(S);
    ScoreOptions options;
    options.kernel = Kernel::fma;
    const SeriesView view(rows.data(), S, 2);
    model.score(view, {}, expected.data(), options);
    CHECK(std::isinf(expected[1]) && std::isinf(expected[20]) && std::isnan(expected[30]));
    for (const std::int64_t entities : {1, 40}) {
      const std::int64_t e = entities - 1;
      Stream stream(model, entities), many(model, entities);
      Floats got(S);
      for (std::int64_t n = 0; n < S; ++n) {
        if (n == 21) stream = saved_and_loaded(model, stream);
        CHECK(stream.push(e, rows.data() + 2 * n, got[static_cast<std::size_t>(n)]) == Status::ok);
      }
      CHECK(same(got, expected));
      const std::vector<std::int64_t> ids(S, e);
      many.push_many(ids, view, got.data());
      CHECK(same(got, expected));
    }
  }
}

void test_bytes(std::mt19937& rng) {
  const SequenceModel model = test::random_model(small_spec(), rng);
  for (const std::int64_t entities : {1, 40}) {
    StreamOptions options;
    options.max_bytes = 100;
    CHECK_THROWS(Stream(model, entities, options), std::invalid_argument,
                 "max_bytes: expected at least ");
    const Stream stream(model, entities);
    options.max_bytes = 2 * entities * stream.bytes_per_entity() + 4096;
    CHECK(Stream(model, entities, options).num_entities() == entities);
    options.max_bytes = 0;
    CHECK_THROWS(Stream(model, entities, options), std::invalid_argument,
                 "max_bytes: expected at least 1, got 0");
  }
  test::ModelSpec spec = small_spec();
  spec.window = std::int64_t{1} << 28;
  const SequenceModel wide = test::random_model(spec, rng);
  CHECK_THROWS(Stream(wide, 1), std::invalid_argument, "window=268435456 take, got 1073741824");
}

void test_errors(std::mt19937& rng) {
  const SequenceModel model = test::random_model(small_spec(), rng);
  const SequenceModel autoencoder = test::random_model(small_spec(0), rng);
  for (const std::int64_t entities : {std::int64_t{0}, std::int64_t{1} << 62}) {
    CHECK_THROWS(Stream(model, entities), std::invalid_argument, "num_entities");
  }
  StreamOptions options;
  options.aggregate = Aggregate::mean;
  CHECK_THROWS(Stream(autoencoder, 1, options), std::invalid_argument, "aggregate");
  options.aggregate = Aggregate::last;
  CHECK_THROWS(Stream(model, 1, options), std::invalid_argument, "aggregate");
  options = {};
  options.reduction = Reduction::mahalanobis;
  CHECK_THROWS(Stream(model, 1, options), std::invalid_argument, "mahalanobis");
  options.reduction = Reduction::calibrated;
  CHECK_THROWS(Stream(model, 1, options), std::invalid_argument, "needs a model with a scaler");
  CHECK_THROWS(Stream(autoencoder, 1, options), std::invalid_argument, "needs a forecaster");
  ModelSpec scaled = small_spec();
  scaled.center.assign(static_cast<std::size_t>(model.input_size()), 0.0);
  scaled.scale.assign(scaled.center.size(), 1.0);
  CHECK_THROWS(Stream(test::random_model(scaled, rng), 1, options), std::invalid_argument,
               "needs error statistics");

  for (const std::int64_t entities : {1, 40}) {
    Stream stream(model, entities);
    const Floats rows = {1, 2, 3, 4};
    Floats scores = {7, 7}, ahead(2);
    for (const std::int64_t unknown : {std::int64_t{-1}, entities}) {
      CHECK(stream.push(unknown, rows.data(), scores[0]) == Status::unknown_entity);
      CHECK(stream.reset(unknown) == Status::unknown_entity);
      CHECK(stream.predict_next(unknown, ahead.data()) == Status::unknown_entity);
      CHECK(stream.rows_seen(unknown) == -1);
      const std::vector<std::int64_t> ids = {0, unknown};
      CHECK_THROWS(stream.push_many(ids, SeriesView(rows.data(), 2, 2), scores.data()),
                   std::invalid_argument, "entity");
    }
    const std::vector<std::int64_t> ids = {0, 0};
    CHECK_THROWS(stream.push_many(ids, SeriesView(rows.data(), 1, 4), scores.data()),
                 std::invalid_argument, "rows");
    CHECK_THROWS(stream.push_many(ids, SeriesView(rows.data(), 2, 2), scores.data(), -1),
                 std::invalid_argument, "num_threads");
    CHECK(same(scores, {7, 7}));
    CHECK(stream.rows_seen(0) == 0);  // a refused call changes nothing
    stream.push_many({}, SeriesView(rows.data(), 0, 2), nullptr);
    CHECK(stream.predict_next(0, ahead.data()) == Status::ok);
    CHECK(same(ahead, {kNan, kNan}));
  }
  Stream stream(autoencoder, 1);
  float ahead[2];
  CHECK(stream.predict_next(0, ahead) == Status::not_a_forecaster);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A state whose checksum fits.
std::string summed_up(const std::string& state) {
  std::string bytes = state.substr(0, state.size() - sizeof(std::uint64_t));
  Fnv hash;
  hash.add(bytes.data(), bytes.size());
  const std::uint64_t sum = hash.value();
  return bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);
}

// A block has one seam: with more of them the count could grow beyond what is read.
void test_damaged_audit(std::mt19937& rng) {
  for (const std::int64_t horizon : {1, 2, 3}) {
    const SequenceModel model = test::random_model(small_spec(horizon), rng);
    StreamOptions options;
    options.mode = Windows::carried;
    Stream stream(model, 1, options);
    const Floats row = {0.5f, 0.25f};
    float score = 0.0f;
    SeamAudit audit;
    while (audit.seams < 3 && stream.rows_seen(0) < 1000) {
      CHECK(stream.push(0, row.data(), score) == Status::ok);
      audit = stream.audit(0);
      const std::string good = stream.saved_bytes();
      CHECK(Stream::from_saved_bytes(model, summed_up(good)).audit().seams == audit.seams);
      if (audit.seams == 0) continue;
      const std::string kept(reinterpret_cast<const char*>(&audit), sizeof audit);
      const std::size_t at = good.find(kept);
      CHECK(at != std::string::npos);
      const std::int64_t most = std::numeric_limits<std::int64_t>::max();
      for (const std::int64_t seams : {std::int64_t{-1}, audit.seams + 1, most}) {
        std::string bad = good;
        std::memcpy(bad.data() + at, &seams, sizeof seams);
        CHECK_THROWS(Stream::from_saved_bytes(model, summed_up(bad)), std::invalid_argument,
                     "audits: damaged");
      }
    }
    CHECK(audit.seams == 3);
  }
}

// Every truncation and every altered byte of a state is refused.
void test_damaged_state(std::mt19937& rng) {
  const SequenceModel model = test::random_model(small_spec(), rng);
  const SequenceModel other = test::random_model(small_spec(), rng);
  Stream stream(model, 2);
  const Floats row = {0.5f, 0.25f};
  float score = 0.0f;
  for (int n = 0; n < 7; ++n) CHECK(stream.push(n % 2, row.data(), score) == Status::ok);
  const TemporaryFile file;
  stream.save(file.path());
  const std::string good = read_all(file.path());
  CHECK(Stream::load(model, file.path()).rows_seen(0) == 4);
  CHECK(stream.saved_bytes() == good);
  CHECK(Stream::from_saved_bytes(model, good).saved_bytes() == good);
  CHECK_THROWS(Stream::load(other, file.path()), std::invalid_argument, "another model");
  CHECK_THROWS(Stream::load(model, file.path() + ".none"), IoError, "cannot be read");
  CHECK_THROWS(Stream::load(model, "/"), IoError, "cannot be read");
  CHECK_THROWS(stream.save("/no/such/folder/state"), IoError, "cannot be written");
  for (std::size_t n = 0; n < good.size(); n += 1 + n / 8) {
    write_all(file.path(), good.substr(0, n));
    CHECK_THROWS(Stream::load(model, file.path()), std::invalid_argument, file.path());
    CHECK_THROWS(Stream::from_saved_bytes(model, good.substr(0, n)), std::invalid_argument,
                 "saved: ");
  }
  // With a checksum that fits: a count of rows that the next push would overflow.
  std::string bad = good;
  const std::int64_t many = std::numeric_limits<std::int64_t>::max();
  constexpr std::size_t kHeader = 64;
  std::memcpy(bad.data() + kHeader, &many, sizeof many);
  write_all(file.path(), summed_up(bad));
  CHECK_THROWS(Stream::load(model, file.path()), std::invalid_argument, "entities: damaged");
  write_all(file.path(), good + "x");
  CHECK_THROWS(Stream::load(model, file.path()), std::invalid_argument, "more data");
  for (std::size_t n = 0; n < good.size(); n += 1 + n / 64) {
    bad = good;
    bad[n] = static_cast<char>(bad[n] ^ 0x40);
    write_all(file.path(), bad);
    bool refused = false;
    try {
      Stream::load(model, file.path());
    } catch (const std::invalid_argument&) {
      refused = true;
    } catch (const UnsupportedError&) {
      refused = true;  // the name of the ISA
    }
    CHECK(refused);
  }
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(5);
    for (int k = 0; k < 40; ++k) test_random(rng);
    test_blocks(rng);
    test_medium(rng);
    test_too_large_rows(rng);
    test_bytes(rng);
    test_errors(rng);
  }
  std::mt19937 rng(6);
  test_damaged_state(rng);
  test_damaged_audit(rng);
  test_resize(rng);
  return slidecell::test::result();
}
