// Scores of 8-bit products on tiles: the bits of AVX-512's dot products, whatever the model, the
// threads and the cuts; which models take tiles, and when the operating system is asked for them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpu/active_kernels.h"
#include "low_tiles_emulated.h"
#include "models.h"
#include "score/choose_kernel.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;

const KernelTable& vectors() { return kernels_named("avx512"); }

int asked = 0;
std::string refusal_of_tiles;
std::string fake_ask() {
  ++asked;
  return refusal_of_tiles;
}

// AVX-512 with emulated tiles.
const KernelTable& tiles() {
  static const KernelTable table = [] {
    KernelTable kernels = vectors();
    kernels.isa = "tiles";
    kernels.low_tiles = &test::low_tiles_emulated();
    kernels.ask_for_matrix = fake_ask;
    kernels.without_matrix = &vectors();
    return kernels;
  }();
  return table;
}

std::string vector_plan() { return std::string("int8 ") + vectors().low->name + " 8x48"; }

LayerSpec layer_of(Cell cell, std::int64_t input_size, std::int64_t hidden_size) {
  LayerSpec spec;
  spec.cell = cell;
  spec.input_size = input_size;
  spec.hidden_size = hidden_size;
  return spec;
}

Floats scores_of(const SequenceModel& model, const Floats& rows,
                 const std::vector<std::int64_t>& offsets, Windows windows = Windows::exact,
                 int num_threads = 1) {
  const auto S = static_cast<std::int64_t>(rows.size()) / model.input_size();
  Floats scores(rows.size() / static_cast<std::size_t>(model.input_size()), -7.0f);
  ScoreOptions options;
  options.num_threads = num_threads;
  options.precision = Precision::low;
  options.windows = windows;
  model.score(SeriesView(rows.data(), S, model.input_size()), offsets, scores.data(), options);
  return scores;
}

Floats series_of(const SequenceModel& model, std::int64_t rows, std::mt19937& rng) {
  return test::detail::random_tensor({rows, model.input_size()}, 1.0, rng).data;
}

// The same bits as dot products, on any number of threads and where entities are cut.
void check_scores(const ModelSpec& spec, std::int64_t rows, std::mt19937& rng) {
  const SequenceModel model = test::random_model(spec, rng);
  Floats series = series_of(model, rows, rng);
  if (rows > 60) {
    series[50 * static_cast<std::size_t>(model.input_size())] =
        std::numeric_limits<float>::quiet_NaN();
  }
  const std::vector<std::int64_t> offsets = {0, rows / 5, rows / 5, rows / 2, rows};
  use_kernels(vectors());
  CHECK(model.plan(Precision::low).kernel == vector_plan());
  const Floats expected = scores_of(model, series, offsets);
  CHECK(std::any_of(expected.begin(), expected.end(), [](float s) { return s > 0.0f; }));
  use_kernels(tiles());
  CHECK(model.plan(Precision::low).kernel == "int8 amx 32x32");
  CHECK(model.plan(Precision::low).precision == "low");
  CHECK(model.plan(Precision::low).tile % 32 == 0);
  CHECK(test::same(scores_of(model, series, offsets), expected));
  CHECK(test::same(scores_of(model, series, offsets, Windows::exact, 3), expected));
  CHECK(test::low_tile_config().palette == 0);
}

ModelSpec forecaster_of(std::vector<LayerSpec> layers, std::int64_t window) {
  ModelSpec spec;
  spec.encoder = std::move(layers);
  spec.window = window;
  return spec;
}

void test_scores(std::mt19937& rng) {
  for (const Cell cell : {Cell::lstm, Cell::gru, Cell::rnn}) {
    for (const bool reset_after : {true, false}) {
      if (!reset_after && cell != Cell::gru) continue;
      // Sizes that are no multiple of 4, 16 or 64, and those one off a tile.
      for (const std::int64_t H : {32, 35, 64, 65, 130}) {
        for (const std::int64_t window : {1, 5, 40}) {  // 40: fine gates
          if (window > 5 && H > 35) continue;
          LayerSpec layer = layer_of(cell, 3, H);
          layer.reset_after = reset_after;
          check_scores(forecaster_of({layer}, window), 210, rng);
          if (H != 35 || window != 5) continue;
          LayerSpec upper = layer;
          upper.hidden_size = 66;
          check_scores(forecaster_of({layer, upper}, window), 210, rng);
          layer.bidirectional = upper.bidirectional = true;
          check_scores(forecaster_of({layer, upper}, window), 210, rng);
          ModelSpec autoencoder = forecaster_of({layer}, window);
          autoencoder.horizon = 0;
          autoencoder.decoder = {upper};
          check_scores(autoencoder, 200, rng);
        }
      }
    }
  }
  check_scores(forecaster_of({layer_of(Cell::lstm, 2, 1000)}, 2), 40, rng);
  check_scores(forecaster_of({layer_of(Cell::gru, 2, 997)}, 2), 40, rng);
}

// Every weight 1 or -1, and gates so wide open that h becomes 1 or -1: the largest codes.
void test_extremes(std::mt19937& rng) {
  for (const std::int64_t H : {32, 67, 256}) {
    for (const float sign : {1.0f, -1.0f}) {
      ModelSpec spec = forecaster_of({layer_of(Cell::rnn, 1, H)}, 3);
      spec.horizon = 1;
      ModelFile file = test::random_file(spec, rng);
      for (auto& [name, tensor] : file.tensors) {
        if (name.rfind("encoder.", 0) != 0) continue;
        std::fill(tensor.data.begin(), tensor.data.end(),
                  name.find("_hh") == std::string::npos ? 40.0f : sign);
      }
      const SequenceModel model(file.metadata, file.tensors);
      const Floats series(100, 1.0f);
      use_kernels(vectors());
      const Floats expected = scores_of(model, series, {});
      use_kernels(tiles());
      CHECK(test::same(scores_of(model, series, {}), expected));
    }
  }
}

// Chains take more steps than coarse gates serve, and share vectors as they come.
void test_carried(std::mt19937& rng) {
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    const ModelSpec spec = forecaster_of({layer_of(cell, 3, 37), layer_of(cell, 3, 33)}, 6);
    const SequenceModel model = test::random_model(spec, rng);
    Floats series = series_of(model, 900, rng);
    series[400 * 3 + 1] = std::numeric_limits<float>::quiet_NaN();
    use_kernels(vectors());
    const Floats expected = scores_of(model, series, {0, 100, 900}, Windows::carried);
    use_kernels(tiles());
    for (const int threads : {1, 3}) {
      CHECK(
          test::same(scores_of(model, series, {0, 100, 900}, Windows::carried, threads), expected));
    }
  }
}

// Another library's tiles on this thread stay configured as it left them.
void test_configuration(std::mt19937& rng) {
  use_kernels(tiles());
  const SequenceModel model =
      test::random_model(forecaster_of({layer_of(Cell::lstm, 3, 33)}, 4), rng);
  const Floats rows = series_of(model, 40, rng);
  const Floats expected = scores_of(model, rows, {});
  const TileConfig theirs{1, 0, {}, {8, 64, 0, 16}, {3, 16, 0, 2}};
  test::set_low_tile_config(theirs);
  CHECK(test::same(scores_of(model, rows, {}), expected));
  const TileConfig after = test::low_tile_config();
  CHECK(std::memcmp(&after, &theirs, sizeof theirs) == 0);
  test::set_low_tile_config({});
}

// Narrow layers and other activations take dot products, and nobody is asked for tiles.
void test_rule(std::mt19937& rng) {
  use_kernels(tiles());
  const auto plan_of = [&](const LayerSpec& layer) {
    return test::random_model(forecaster_of({layer_of(Cell::lstm, 3, 64), layer}, 4), rng)
        .plan(Precision::low)
        .kernel;
  };
  LayerSpec layer = layer_of(Cell::gru, 3, kLeastLowTileUnits);
  asked = 0;
  CHECK(plan_of(layer) == "int8 amx 32x32" && asked == 1);
  layer.hidden_size = kLeastLowTileUnits - 1;
  CHECK(plan_of(layer) == vector_plan());
  layer.hidden_size = 64;
  layer.recurrent_activation = RecurrentActivation::hard_sigmoid;
  CHECK(plan_of(layer) == vector_plan());
  layer.recurrent_activation = RecurrentActivation::sigmoid;
  layer.activation = Activation::sigmoid;
  CHECK(plan_of(layer) == vector_plan());
  layer.activation = Activation::relu;
  CHECK(plan_of(layer).rfind("int8", 0) != 0);
  CHECK(asked == 1);
}

void test_permission(std::mt19937& rng) {
  use_kernels(tiles());
  CHECK(!isa_was_named());
  const SequenceModel model =
      test::random_model(forecaster_of({layer_of(Cell::lstm, 3, 40)}, 4), rng);
  const Floats rows = series_of(model, 60, rng);
  const Floats expected = scores_of(model, rows, {});

  refusal_of_tiles = "it does not like us";
  const KernelPlan refused = model.plan(Precision::low);
  CHECK(refused.isa == "avx512" && refused.precision == "low");
  CHECK(refused.kernel == vector_plan() + " (tiles: it does not like us)");
  CHECK(test::same(scores_of(model, rows, {}), expected));

  // From the first set_isa() on, an ISA counts as named.
  set_isa("scalar");
  use_kernels(tiles());
  CHECK_THROWS(model.plan(Precision::low), UnsupportedError, "got 'tiles': it does not like us");
  CHECK_THROWS(scores_of(model, rows, {}), UnsupportedError, "got 'tiles'");
  refusal_of_tiles = "";
  CHECK(model.plan(Precision::low).kernel == "int8 amx 32x32");
}

}  // namespace

int main() {
  constexpr int kSkipped = 77;
  const std::vector<std::string> isas = available_isas();
  if (std::find(isas.begin(), isas.end(), "avx512") == isas.end()) return kSkipped;
  std::mt19937 rng(3);
  test_scores(rng);
  test_extremes(rng);
  test_carried(rng);
  test_configuration(rng);
  test_rule(rng);
  test_permission(rng);
  return slidecell::test::result();
}
