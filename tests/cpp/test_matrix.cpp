// Matrix kernels against float64: AVX512-BF16 and AMX where the CPU has them, and AMX emulated.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "amx_emulated.h"
#include "cpu/active_kernels.h"
#include "models.h"
#include "reference.h"
#include "score/score.h"
#include "score/tile_runner.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;

// Those whose kernels are not the same as another table's.
std::vector<Precision> precisions_of(const KernelTable& kernels) {
  if (kernels.matrix->has_halves && kernels.isa != std::string("amx")) return {Precision::medium};
  return {Precision::highest, Precision::high, Precision::medium};
}

std::vector<const KernelTable*> matrix_tables() {
  std::vector<const KernelTable*> tables;
#ifdef SLIDECELL_TEST_EMULATED_AMX
  tables.push_back(&test::amx_emulated());
  tables.push_back(&test::amx_halves_emulated());
#endif
  for (const std::string& isa : available_isas()) {
    if (kernels_named(isa).matrix) tables.push_back(&kernels_named(isa));
  }
  return tables;
}

LayerSpec layer_of(Cell cell, bool reset_after, std::int64_t input_size, std::int64_t hidden_size) {
  LayerSpec spec;
  spec.cell = cell;
  spec.reset_after = reset_after;
  spec.input_size = input_size;
  spec.hidden_size = hidden_size;
  return spec;
}

// The stack's tensors as reference::forward takes them.
std::vector<LayerWeights> weights_of(const ModelFile& file, const std::vector<LayerSpec>& specs) {
  std::vector<LayerWeights> all;
  for (std::size_t l = 0; l < specs.size(); ++l) {
    const auto tensor = [&](const std::string& what) -> Span<const float> {
      return file.tensors.at("encoder." + std::to_string(l) + "." + what + "_l0").data;
    };
    LayerWeights layer;
    layer.forward = {
        tensor("weight_ih"), tensor("weight_hh"), tensor("bias_ih"), tensor("bias_hh"), {}};
    all.push_back(layer);
  }
  return all;
}

// The last h of every window of a series, from the kernels against the reference.
double worst_code(const KernelTable& kernels, const ModelSpec& spec, Precision precision,
                  std::mt19937& rng) {
  const ModelFile file = test::random_file(spec, rng);
  const ModelParts model = read_model_parts(file.metadata, file.tensors);
  std::vector<LayerSpec> specs = spec.encoder;
  for (std::size_t l = 1; l < specs.size(); ++l) specs[l].input_size = specs[l - 1].output_size();
  const std::int64_t F = model.input_size(), W = spec.window, H = specs.back().hidden_size;

  const WindowPlan plan({0, 27, 27, 75}, W, spec.horizon);
  const std::int64_t S = 75;
  const Floats rows = test::detail::random_tensor({S, F}, 1.0, rng).data;
  const SeriesView series(rows.data(), S, F);
  const KernelChoice choice = choose_kernel(kernels, model, precision, Kernel::matrix);
  TileRunner runner(model, kernels, choice, series, plan);
  // Tiles of odd numbers of groups too, and of windows that share vectors.
  const VectorPlan vectors(plan, kernels.lanes,
                           {std::min<std::int64_t>(3, runner.max_vectors()), F, kernels.lanes});

  double worst = 0.0;
  for (std::int64_t tile = 0; tile < vectors.tiles(); ++tile) {
    runner.load(vectors.tile(tile));
    const float* code = runner.encode();
    for (std::int64_t v = 0; v < runner.tile().size(); ++v) {
      const std::int64_t N = runner.tile().count(v);
      reference::Doubles x;
      for (std::int64_t lane = 0; lane < N; ++lane) {
        const std::int64_t start = runner.tile().start(v, lane);
        x.insert(x.end(), rows.begin() + start * F, rows.begin() + (start + W) * F);
      }
      const reference::Doubles out =
          reference::forward(specs, weights_of(file, specs), x, N, W).out;
      for (std::int64_t lane = 0; lane < N; ++lane) {
        for (std::int64_t j = 0; j < H; ++j) {
          const double truth = out[static_cast<std::size_t>(((lane + 1) * W - 1) * H + j)];
          const std::int64_t column = v * kernels.lanes + lane;
          const double got = static_cast<double>(code[j * runner.stride() + column]);
          worst = std::max(worst, std::fabs(got - truth));  // a NaN stays out: see below
          if (std::isnan(got)) worst = std::numeric_limits<double>::infinity();
        }
      }
    }
  }
#ifdef SLIDECELL_TEST_EMULATED_AMX
  CHECK(test::tile_config().palette == 0);
#endif
  return worst;
}

// Of h at torch's initial weights, which are up to 1/sqrt(H). Two parts keep 16 bits of a number,
// one keeps 8. An RNN's h is the activated sum itself, which no gate below 1 scales down: its rows
// keep the bounds of short ones. Activations in float16 add their own error, which shows in those.
double bound(Cell cell, Precision precision, std::int64_t H, bool halves) {
  if (cell == Cell::rnn) H = 1;
  switch (precision) {
    case Precision::highest:
      return 3e-7;
    case Precision::high:
      return H < 32 ? 6e-6 : 2e-6;
    case Precision::medium:
    case Precision::low:
      break;
  }
  if (halves && H < 32) return 8e-3;
  return H < 32 ? 3e-3 : 1e-3;
}

void test_codes(const KernelTable& kernels, std::mt19937& rng) {
  struct Kind {
    Cell cell;
    bool reset_after;
  };
  for (const Kind kind : {Kind{Cell::lstm, true}, Kind{Cell::gru, true}, Kind{Cell::gru, false},
                          Kind{Cell::rnn, true}}) {
    for (const std::int64_t H : {1, 2, 15, 16, 17, 33, 100}) {
      for (const std::size_t layers : {1, 2}) {
        if (layers == 2 && H != 17) continue;
        ModelSpec spec;
        spec.window = H > 33 ? 4 : 7;
        for (std::size_t l = 0; l < layers; ++l) {
          const std::int64_t size = l == 0 ? H : H + 3;
          spec.encoder.push_back(layer_of(kind.cell, kind.reset_after, 5, size));
        }
        for (const Precision precision : precisions_of(kernels)) {
          const double worst = worst_code(kernels, spec, precision, rng);
          if (!(worst <= bound(kind.cell, precision, H, kernels.matrix->has_halves))) {
            test::report(__FILE__, __LINE__,
                         std::string(kernels.isa) + " H=" + std::to_string(H) +
                             " layers=" + std::to_string(layers) +
                             " cell=" + std::to_string(static_cast<int>(kind.cell)) +
                             " precision=" + std::to_string(static_cast<int>(precision)) +
                             ": error " + std::to_string(worst * 1e7) + "e-7");
          }
        }
      }
    }
  }
}

// The 95th percentile of those that are not NaN.
float high_score(Floats scores) {
  scores.erase(std::remove_if(scores.begin(), scores.end(), [](float s) { return std::isnan(s); }),
               scores.end());
  if (scores.empty()) return 0.0f;
  std::sort(scores.begin(), scores.end());
  return scores[scores.size() * 95 / 100];
}

// Whole scores of any forecaster and autoencoder that they run: near those of float32 products,
// the same on every number of threads, and NaN on the same rows.
void test_scores(const KernelTable& kernels, std::mt19937& rng) {
  use_kernels(kernels);
  for (int k = 0; k < 15; ++k) {
    ModelSpec spec = test::random_spec(rng);
    for (std::vector<LayerSpec>* stack : {&spec.encoder, &spec.decoder}) {
      for (LayerSpec& layer : *stack) {
        layer.bidirectional = false;
        layer.proj_size = 0;
        layer.activation = Activation::tanh;
        layer.recurrent_activation = RecurrentActivation::sigmoid;
      }
    }
    const SequenceModel model = test::random_model(spec, rng);
    const std::vector<std::int64_t> offsets = {0, 57, 57, 100, 400};
    const std::int64_t S = offsets.back();
    Floats series = test::detail::random_tensor({S, model.input_size()}, 1.0, rng).data;
    series[150 * static_cast<std::size_t>(model.input_size())] =
        std::numeric_limits<float>::quiet_NaN();
    const SeriesView view(series.data(), S, model.input_size());
    for (const Precision precision : precisions_of(kernels)) {
      ScoreOptions options;
      options.precision = precision;
      options.num_threads = 1;
      options.kernel = Kernel::fma;
      Floats expected(static_cast<std::size_t>(S), -7.0f), got(expected), again(expected);
      model.score(view, offsets, expected.data(), options);
      options.kernel = Kernel::matrix;
      model.score(view, offsets, got.data(), options);
      options.num_threads = 3;
      model.score(view, offsets, again.data(), options);
      CHECK(test::same(got, again));
      // Scores of a window of few targets may be near zero: of a typical one, then.
      const float relative = precision == Precision::medium ? 0.01f : 1e-5f;
      const float typical = high_score(expected);
      for (std::size_t i = 0; i < got.size(); ++i) {
        CHECK(std::isnan(got[i]) == std::isnan(expected[i]));
        if (std::isnan(expected[i])) continue;
        CHECK(std::fabs(got[i] - expected[i]) <= relative * std::max(expected[i], typical));
      }
    }
  }
}

#ifdef SLIDECELL_TEST_EMULATED_AMX
SequenceModel small_model(std::int64_t H, std::mt19937& rng) {
  ModelSpec spec;
  spec.encoder = {layer_of(Cell::lstm, true, 3, H)};
  return test::random_model(spec, rng);
}

Floats scores_of(const SequenceModel& model, const Floats& rows) {
  const auto S = static_cast<std::int64_t>(rows.size()) / model.input_size();
  Floats scores(static_cast<std::size_t>(S));
  ScoreOptions options;
  options.num_threads = 1;
  model.score(SeriesView(rows.data(), S, model.input_size()), {}, scores.data(), options);
  return scores;
}

// The errors of activations in float16, over all that a sum may be. A tanh also keeps the digits
// of a small sum.
void test_halves() {
  constexpr double kLog2e = 1.4426950408889634;
  double sigmoid = 0.0, tanh = 0.0, relative = 0.0;
  for (int i = -4000; i <= 4000; ++i) {
    const double x = i * 5e-3;
    for (const bool odd : {false, true}) {
      const double s =
          static_cast<double>(test::half_sigmoid(static_cast<float>(-kLog2e * x), odd));
      const double t =
          static_cast<double>(test::half_tanh(static_cast<float>(2 * kLog2e * x), odd));
      sigmoid = std::max(sigmoid, std::fabs(s - 1.0 / (1.0 + std::exp(-x))));
      tanh = std::max(tanh, std::fabs(t - std::tanh(x)));
      if (i != 0) {
        relative = std::max(relative, std::fabs(t / std::tanh(x) - 1.0));
      }
    }
  }
  CHECK(sigmoid <= 8e-4);
  CHECK(tanh <= 1.5e-3);
  CHECK(relative <= 2.1e-3);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(test::half_sigmoid(kInfinity, false) < 4e-5f &&
        test::half_sigmoid(-kInfinity, true) > 0.999f);
  CHECK(test::half_tanh(0.0f, true) == 0.0f);
  CHECK(std::isnan(test::half_sigmoid(std::nanf(""), false)));
  CHECK(std::isnan(test::half_tanh(std::nanf(""), false)));

  use_kernels(test::amx_halves_emulated());
  std::mt19937 rng(5);
  const SequenceModel model = small_model(33, rng);
  CHECK(model.plan(Precision::medium).kernel == "amx 32x32 fp16");
  CHECK(model.plan(Precision::high).kernel == "amx 32x32");
}

// Another library's tiles on this thread stay configured as it left them.
void test_configuration(std::mt19937& rng) {
  use_kernels(test::amx_emulated());
  const SequenceModel model = small_model(33, rng);
  CHECK(model.plan().kernel == "amx 32x32");
  const Floats rows = test::detail::random_tensor({40, 3}, 1.0, rng).data;
  const Floats expected = scores_of(model, rows);
  CHECK(test::tile_config().palette == 0);
  const TileConfig theirs{1, 0, {}, {8, 64, 0, 16}, {3, 16, 0, 2}};
  test::set_tile_config(theirs);
  CHECK(test::same(scores_of(model, rows), expected));
  const TileConfig after = test::tile_config();
  CHECK(std::memcmp(&after, &theirs, sizeof theirs) == 0);
  test::set_tile_config({});
}

int asked = 0;
std::string refusal_of_tiles;
std::string fake_ask() {
  ++asked;
  return refusal_of_tiles;
}

// The operating system is asked when tiles are first wanted, and what it says shows in the plan.
void test_permission(std::mt19937& rng) {
  KernelTable instead = test::amx_emulated();
  instead.isa = "instead";
  instead.matrix = nullptr;
  KernelTable table = test::amx_emulated();
  table.ask_for_matrix = fake_ask;
  table.without_matrix = &instead;
  use_kernels(table);
  CHECK(!isa_was_named());
  const SequenceModel model = small_model(33, rng), narrow = small_model(5, rng);
  const Floats rows = test::detail::random_tensor({40, 3}, 1.0, rng).data;

  refusal_of_tiles = "it does not like us";
  CHECK(active_isa() == table.isa && asked == 0);
  CHECK(narrow.plan().kernel == "fma 4x16" && asked == 0);
  CHECK(model.plan(Precision::highest, 1, Kernel::fma).isa == table.isa && asked == 0);
  const KernelPlan refused = model.plan();
  CHECK(asked == 1);
  CHECK(refused.isa == "instead" && refused.precision == "highest");
  CHECK(refused.kernel == "fma 4x16 (amx_emulated: it does not like us)");
  use_kernels(instead);
  const Floats expected = scores_of(model, rows);
  use_kernels(table);
  CHECK(test::same(scores_of(model, rows), expected) && asked == 2);
  CHECK_THROWS(model.plan(Precision::highest, 1, Kernel::matrix), UnsupportedError,
               "isa 'instead'");

  refusal_of_tiles = "";
  CHECK(model.plan().kernel == "amx 32x32" && model.plan().isa == table.isa);

  // From the first set_isa() on, an ISA counts as named.
  set_isa("scalar");
  use_kernels(table);
  CHECK(isa_was_named());
  CHECK(model.plan().kernel == "amx 32x32");
  refusal_of_tiles = "it does not like us";
  CHECK_THROWS(model.plan(), UnsupportedError, "got 'amx_emulated': it does not like us");
  CHECK_THROWS(scores_of(model, rows), UnsupportedError, "got 'amx_emulated'");
  CHECK(narrow.plan().kernel == "fma 4x16");
}
#endif

void test_rule(std::mt19937& rng) {
  const auto model_of = [&](std::int64_t H, bool bidirectional) {
    ModelSpec spec;
    spec.encoder = {layer_of(Cell::lstm, true, 3, H)};
    spec.encoder.front().bidirectional = bidirectional;
    return test::random_model(spec, rng);
  };
#ifdef SLIDECELL_TEST_EMULATED_AMX
  use_kernels(test::amx_emulated());
  CHECK(model_of(32, false).plan(Precision::highest).kernel == "amx 32x32");
  CHECK(model_of(31, false).plan(Precision::highest).kernel == "fma 4x16");
  CHECK(model_of(31, false).plan(Precision::highest).precision == "highest");
  CHECK(model_of(5, false).plan(Precision::high).kernel == "amx 32x32");
  CHECK(model_of(5, false).plan(Precision::high).precision == "high");
  CHECK(model_of(5, false).plan(Precision::medium).precision == "medium");
  // Tiles of windows: the parts of h fill at most 24 KB.
  CHECK(model_of(16, false).plan(Precision::high).tile == 96);
  CHECK(model_of(64, false).plan(Precision::highest).tile == 64);
  CHECK(model_of(64, false).plan(Precision::high).tile == 96);
  CHECK(model_of(64, false).plan(Precision::medium).tile == 96);
  CHECK(model_of(128, false).plan(Precision::highest).tile == 32);
  CHECK(model_of(128, false).plan(Precision::high).tile == 32);
  CHECK(model_of(128, false).plan(Precision::medium).tile == 64);
  CHECK(model_of(400, false).plan(Precision::highest).tile == 32);
  CHECK(model_of(64, false).plan(Precision::medium, 1, Kernel::fma).precision == "highest");
  CHECK(model_of(64, true).plan(Precision::medium).precision == "highest");
  CHECK_THROWS(model_of(64, true).plan(Precision::medium, 1, Kernel::matrix), UnsupportedError,
               "bidirectional");
#endif
  set_isa("scalar");
  CHECK(model_of(64, false).plan(Precision::medium).precision == "highest");
  CHECK_THROWS(model_of(64, false).plan(Precision::medium, 1, Kernel::matrix), UnsupportedError,
               "isa 'scalar'");
}

}  // namespace

int main() {
  std::mt19937 rng(3);
  for (const KernelTable* kernels : matrix_tables()) {
    test_codes(*kernels, rng);
    test_scores(*kernels, rng);
  }
#ifdef SLIDECELL_TEST_EMULATED_AMX
  test_halves();
  test_configuration(rng);
  test_permission(rng);
#endif
  test_rule(rng);
  return slidecell::test::result();
}
