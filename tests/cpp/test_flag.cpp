// Flags: exact scores of chosen windows, the margins, what is averaged, and the C interface.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "c_api.h"
#include "flag/judged_rows.h"
#include "flag/margins.h"
#include "models.h"
#include "score/carried.h"
#include "score/score.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "slidecell/slidecell.h"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

constexpr float kUntouched = 12345.0f;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Any windows, in any tiles, have the bits that they have among all.
void test_chosen_windows(std::mt19937& rng) {
  for (int k = 0; k < 30; ++k) {
    const ModelSpec spec = test::random_spec(rng);
    const ModelFile file = test::random_file(spec, rng);
    const ModelParts parts = read_model_parts(file.metadata, file.tensors);
    const std::vector<std::int64_t> offsets = {0, 300, 300, 302, 340, 640, 700};
    const std::int64_t S = offsets.back(), F = parts.input_size();
    Floats series = test::detail::random_tensor({S, F}, 1.0, rng).data;
    series[rng() % series.size()] = std::numeric_limits<float>::quiet_NaN();
    const SeriesView view(series.data(), S, F);
    for (const std::int64_t stride : {1, 3}) {
      const WindowPlan plan(offsets, parts.window, parts.horizon, stride);
      ScoreOptions options;
      options.stride = stride;
      options.num_threads = 1 + k % 2;
      options.precision = k % 3 == 0 ? Precision::medium : Precision::highest;
      Floats all(static_cast<std::size_t>(S)), got(all.size(), kUntouched);
      score_windows(parts, view, plan, options, all.data());
      // Alone, in runs, and at the edges of entities.
      std::vector<std::int64_t> chosen;
      const std::uint32_t rare = k % 4 == 0 ? 40 : 3;
      for (std::int64_t w = 0; w < plan.size(); ++w) {
        const bool in_run = w / 50 % 3 == 1 && k % 2 == 0;
        if (in_run || rng() % rare == 0) chosen.push_back(w);
      }
      score_chosen_windows(parts, view, plan, options, chosen, got.data());
      std::size_t next = 0;
      for (std::int64_t w = 0; w < plan.size(); ++w) {
        const auto row = static_cast<std::size_t>(plan.start(w) + parts.window + parts.horizon - 1);
        const bool is = next < chosen.size() && chosen[next] == w;
        if (is) ++next;
        CHECK(same(got[row], is && !std::isnan(all[row]) ? all[row] : kUntouched));
      }
    }
  }
}

// A window so long that no mixed tile fits.
void test_chosen_long_windows(std::mt19937& rng) {
  ModelSpec spec;
  spec.window = 20000;
  spec.encoder = {test::random_spec(rng).encoder[0]};
  spec.encoder[0].input_size = 4;
  spec.encoder[0].hidden_size = 1;
  spec.encoder[0].proj_size = 0;
  spec.encoder[0].bidirectional = false;
  const ModelFile file = test::random_file(spec, rng);
  const ModelParts parts = read_model_parts(file.metadata, file.tensors);
  const std::int64_t S = 20020, F = parts.input_size();
  const Floats series = test::detail::random_tensor({S, F}, 1.0, rng).data;
  const SeriesView view(series.data(), S, F);
  const WindowPlan plan({0, S}, parts.window, parts.horizon);
  Floats all(static_cast<std::size_t>(S)), got(all.size(), kUntouched);
  score_windows(parts, view, plan, {}, all.data());
  const std::vector<std::int64_t> chosen = {3, 11, 12};
  score_chosen_windows(parts, view, plan, {}, chosen, got.data());
  for (const std::int64_t w : chosen) {
    const auto row = static_cast<std::size_t>(w + parts.window);
    CHECK(!std::isnan(all[row]) && same(got[row], all[row]));
  }
}

// The state of a younger chain is that of a shorter window.
void test_younger_scores(std::mt19937& rng) {
  for (const std::int64_t W : {1, 2, 7, 8}) {
    ModelSpec spec = test::random_spec(rng);
    spec.horizon = std::max<std::int64_t>(1, spec.horizon);
    spec.decoder.clear();
    for (LayerSpec& layer : spec.encoder) layer.bidirectional = false;
    spec.window = W;
    const ModelFile file = test::random_file(spec, rng);
    const ModelParts parts = read_model_parts(file.metadata, file.tensors);
    const std::vector<std::int64_t> offsets = {0, 60, 60, 61, 200};
    const std::int64_t S = offsets.back(), F = parts.input_size();
    const Floats series = test::detail::random_tensor({S, F}, 1.0, rng).data;
    const SeriesView view(series.data(), S, F);
    Floats got(static_cast<std::size_t>(S), kUntouched);
    younger_scores(parts, view, {offsets, W, parts.horizon}, {}, got.data());
    const std::int64_t youngest = (W + 1) / 2, B = W - youngest + 1;
    std::int64_t scored = 0;
    for (std::int64_t age = youngest; age <= W; ++age) {
      std::string metadata = file.metadata;
      const std::string key = "\"window\":";
      const std::size_t at = metadata.find(key) + key.size();
      metadata.replace(at, std::to_string(W).size(), std::to_string(age));
      const ModelParts shorter = read_model_parts(metadata, file.tensors);
      Floats expected(got.size());
      score_windows(shorter, view, {offsets, age, parts.horizon}, {}, expected.data());
      for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
        for (std::int64_t target = offsets[g] + W + age - youngest;
             target + parts.horizon <= offsets[g + 1]; target += B) {
          const auto row = static_cast<std::size_t>(target + parts.horizon - 1);
          CHECK(same(got[row], expected[row]) && !std::isnan(got[row]));
          ++scored;
        }
      }
    }
    const auto written =
        std::count_if(got.begin(), got.end(), [](float x) { return x != kUntouched; });
    CHECK(scored > 150 && written == scored);
  }
}

std::vector<MeasuredSeam> seams_of(const std::vector<float>& cheap, float exact,
                                   std::int64_t entity) {
  std::vector<MeasuredSeam> seams;
  for (std::size_t i = 0; i < cheap.size(); ++i) {
    seams.push_back({entity, static_cast<std::int64_t>(i), 0, cheap[i], exact});
  }
  return seams;
}

void test_margins() {
  const WindowPlan plan({0, 1000, 2000, 3000}, 5, 1);
  const std::vector<double> one = {10.0};
  const Thresholds thresholds(one, plan);
  std::vector<std::int64_t> blocks;

  Margins margins(3, false);
  CHECK(std::abs(margins.distance(1.0f, 3.0f, 10.0) - std::log(2.0)) < 1e-12);
  CHECK(margins.distance(2.0f, 2.0f, 10.0) == 0);
  CHECK(std::isnan(margins.distance(INFINITY, 2.0f, 10.0)));
  CHECK(std::isnan(margins.distance(1.0f, 2.0f, INFINITY)));
  CHECK(!margins.measure({{0, 0, 0, INFINITY, 1.0f}}, thresholds, blocks));

  // 9 % of the seams are 20 times the others: no measure of them. 1 + e/2 against 1: log(1 + e/4).
  std::vector<float> cheap(91, 1.002f);
  cheap.insert(cheap.end(), 9, 1.1f);
  std::vector<MeasuredSeam> seams = seams_of(cheap, 1.0f, 1);
  // An entity with fewer than 64 has the shared margin, and so has one with none.
  const std::vector<MeasuredSeam> few = seams_of(std::vector<float>(10, 1.2f), 1.0f, 0);
  seams.insert(seams.end(), few.begin(), few.end());
  CHECK(margins.measure(seams, thresholds, blocks));
  CHECK(blocks.size() == 9 && blocks.front() == 91 && blocks.back() == 99);
  const double small = margins.distance(1.002f, 1.0f, 10.0);
  const double large = margins.distance(1.2f, 1.0f, 10.0);
  CHECK(margins.margin(1) == 2 * small);
  CHECK(margins.margin(0) == 2 * large && margins.margin(2) == 2 * large);
  CHECK(margins.seams() == 110);
  CHECK(margins.p99() == large);
  CHECK(margins.beyond(1, 10.5 * small) && !margins.beyond(1, 9.5 * small));

  // What lies at the bound is just within the margin.
  const double bound = margins.least_undecided(1, 10.0);
  CHECK(bound < 10.0 && std::abs(std::log(11.0 / (bound + 1.0)) - margins.margin(1)) < 1e-12);
  margins.join(1, 3 * small);
  CHECK(margins.margin(1) == 6 * small && margins.least_undecided(1, 10.0) < bound);
  margins.join(1, small);
  CHECK(margins.margin(1) == 6 * small);
  const double joined = margins.least_undecided(1, 10.0);
  CHECK(margins.least_undecided(1, 10.0, 2 * small) == joined);
  CHECK(margins.least_undecided(1, 10.0, 4 * small) < joined);
  CHECK(margins.least_undecided(1, 10.0, INFINITY) == -1.0);  // no score is below
  CHECK(margins.least_undecided(1, INFINITY) == INFINITY);
  CHECK(margins.least_undecided(1, -INFINITY) == -INFINITY);

  // Equal scores leave nothing undecided but what is flagged.
  Margins equal(3, false);
  blocks.clear();
  CHECK(equal.measure(seams_of({1.0f, 1.0f}, 1.0f, 0), thresholds, blocks) && blocks.empty());
  CHECK(equal.margin(0) == 0 && std::abs(equal.least_undecided(0, 10.0) - 10.0) < 1e-12);
  // Nothing below 1e-5 is beyond the limit.
  CHECK(!equal.beyond(0, 0.9e-5) && equal.beyond(0, 1.1e-5));

  // Of scores that are never negative all lie above a threshold below 0.
  CHECK(std::isnan(equal.distance(1.0f, 2.0f, -1.0)) &&
        equal.least_undecided(0, -1.0) == -INFINITY);

  // Differences where no threshold is positive.
  Margins absolute(3, true);
  CHECK(absolute.distance(1.0f, 3.0f, -1.0) == 2.0);
  CHECK(absolute.measure(seams_of({1.5f}, 1.0f, 0), thresholds, blocks));
  CHECK(absolute.margin(0) == 1.0 && absolute.least_undecided(0, -1.0) == -2.0);
}

void test_thresholds() {
  const WindowPlan plan({0, 3, 5}, 1, 1);
  const std::vector<double> one = {1}, entities = {1, 2}, rows = {1, 2, 3, 4, 5};
  CHECK(Thresholds(one, plan).at(1, 4) == 1);
  CHECK(Thresholds(entities, plan).at(1, 4) == 2);
  CHECK(Thresholds(rows, plan).at(1, 4) == 5);
  const std::vector<double> some = {-1, 2}, none = {0, INFINITY};
  CHECK(Thresholds(some, plan).any_positive() && !Thresholds(none, plan).any_positive());
}

void test_judged_rows() {
  // Windows of one row and its target: scores stand at rows 1 .. 7 of 8.
  const WindowPlan plan({0, 8}, 1, 1);
  const Floats scores = {NAN, 1, 3, NAN, 8, INFINITY, 2, 4};
  FlagOptions options;
  JudgedRows plain(plan, options);
  plain.load(0, {0, 7}, scores.data());
  CHECK(plain.size() == 6 && plain.row(2) == 4 && plain.window(2) == 3);
  CHECK(plain.value(2) == 8 && plain.oldest(2) == 2);

  options.moving_average = 3;  // over what is missing and what is infinite
  JudgedRows scores_averaged(plan, options);
  scores_averaged.load(0, {0, 7}, scores.data());
  const std::vector<double> means = {1, 2, 4, INFINITY, 13.0 / 3, 14.0 / 3};
  for (std::size_t i = 0; i < means.size(); ++i) CHECK(scores_averaged.value(i) == means[i]);
  CHECK(scores_averaged.oldest(4) == 1 && scores_averaged.oldest(3) == 3);

  options.moving_average = 0;
  options.trailing_mean = 3;
  JudgedRows rows_averaged(plan, options);
  rows_averaged.load(0, {0, 7}, scores.data());
  const std::vector<double> trailing = {1, 2, 5.5, INFINITY, 5, 3};
  for (std::size_t i = 0; i < trailing.size(); ++i) CHECK(rows_averaged.value(i) == trailing[i]);
}

// The same flags through C, and its own arguments.
void test_c(std::mt19937& rng) {
  const ModelFile file = test::model_file(1, rng);
  const SequenceModel truth(file.metadata, file.tensors);
  const std::string path = "flag_model.safetensors";
  write_model_file(path, file);
  slidecell_model* model = nullptr;
  CHECK(slidecell_model_load(path.c_str(), &model) == SLIDECELL_OK);
  std::remove(path.c_str());
  const std::vector<std::int64_t> offsets = {0, 400, 900};
  const std::int64_t S = offsets.back();
  const Floats series = test::detail::random_tensor({S, truth.input_size()}, 1.0, rng).data;
  const SeriesView view(series.data(), S, truth.input_size());
  Floats scores(static_cast<std::size_t>(S)), expected(scores.size()), got(scores.size());
  truth.score(view, offsets, scores.data());
  Floats sorted;
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(sorted),
               [](float x) { return !std::isnan(x); });
  std::sort(sorted.begin(), sorted.end());
  const std::vector<double> thresholds = {sorted[sorted.size() * 9 / 10],
                                          sorted[sorted.size() / 2]};

  FlagOptions options;
  options.audit = 8;
  options.speculate = Speculate::carried;
  options.trailing_mean = 2;
  std::vector<std::uint8_t> flagged(scores.size()), exact(scores.size());
  std::vector<std::uint8_t> c_flagged(scores.size()), c_exact(scores.size());
  const FlagAudit audit =
      truth.flag(view, thresholds, offsets, flagged.data(), expected.data(), exact.data(), options);
  slidecell_flag_options c_options = {};
  c_options.audit = 8;
  c_options.speculate = SLIDECELL_SPECULATE_CARRIED;
  c_options.trailing_mean = 2;
  std::vector<double> margin(2, kNaN);
  slidecell_flag_audit c_audit = {};
  const auto flag = [&](std::int64_t num_thresholds) {
    return slidecell_flag(model, series.data(), S, thresholds.data(), num_thresholds,
                          offsets.data(), 2, &c_options, c_flagged.data(), got.data(),
                          c_exact.data(), margin.data(), &c_audit);
  };
  CHECK(flag(2) == SLIDECELL_OK);
  CHECK(flagged == c_flagged && exact == c_exact && same(got, expected));
  CHECK(std::count(flagged.begin(), flagged.end(), 1) > 0);
  CHECK(margin == audit.margin && audit.method == c_audit.method && audit.method == "carried");
  CHECK(audit.windows == c_audit.windows && audit.exact == c_audit.exact);
  CHECK(audit.seams == c_audit.seams && audit.seam_p99 == c_audit.seam_p99);
  CHECK(audit.cheap == c_audit.cheap && audit.verified == c_audit.verified);
  CHECK(audit.wrong == c_audit.wrong && audit.wrong_at_most == c_audit.wrong_at_most);
  CHECK(c_audit.absolute == 0 && std::string(c_audit.reasons).empty());

  CHECK(flag(3) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(std::string(slidecell_last_error()).find("threshold: expected one number, [2]") == 0);
  c_options.speculate = SLIDECELL_SPECULATE_CARRIED_LOW;
  CHECK(flag(2) == SLIDECELL_OK && std::string(c_audit.method) == "carried_low");
  c_options.speculate = 6;
  CHECK(flag(2) == SLIDECELL_INVALID_ARGUMENT);
  c_options.speculate = SLIDECELL_SPECULATE_AUTOMATIC;
  c_options.audit = 0;
  CHECK(flag(2) == SLIDECELL_OK && std::string(c_audit.method) == "exact");
  CHECK(std::string(c_audit.reasons).find("fewer than 40 times audit=1024") != std::string::npos);
  c_options.certify = 1;
  c_options.speculate = SLIDECELL_SPECULATE_CARRIED;
  CHECK(flag(2) == SLIDECELL_OK && c_audit.certified == 1);
  c_options.speculate = SLIDECELL_SPECULATE_MEDIUM;
  CHECK(flag(2) == SLIDECELL_INVALID_ARGUMENT);
  CHECK(slidecell_flag(nullptr, series.data(), S, thresholds.data(), 2, nullptr, 0, nullptr,
                       c_flagged.data(), got.data(), c_exact.data(), nullptr,
                       nullptr) == SLIDECELL_INVALID_ARGUMENT);
  slidecell_model_free(model);
}

}  // namespace

int main() {
  std::mt19937 rng(20261130);
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    test_chosen_windows(rng);
  }
  test_chosen_long_windows(rng);
  test_younger_scores(rng);
  test_margins();
  test_thresholds();
  test_judged_rows();
  test_c(rng);
  return test::result();
}
