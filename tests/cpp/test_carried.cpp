// Scores by carried states: chosen blocks and seams.
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
#include "score/carried.h"
#include "score/choose_kernel.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

constexpr float kUntouched = 12345.0f;

ModelSpec forecaster(std::mt19937& rng) {
  ModelSpec spec = test::random_spec(rng);
  spec.horizon = std::max<std::int64_t>(1, spec.horizon);
  spec.decoder.clear();
  spec.window = std::min<std::int64_t>(spec.window, 7);
  for (LayerSpec& layer : spec.encoder) layer.bidirectional = false;
  return spec;
}

// A random model, rows of some entities with holes, and what scores them.
struct Case {
  explicit Case(std::mt19937& rng) : Case(forecaster(rng), rng) {}
  Case(const ModelSpec& spec, std::mt19937& rng)
      : file(test::random_file(spec, rng)),
        parts(read_model_parts(file.metadata, file.tensors)),
        model(file.metadata, file.tensors),
        B(carried_block_rows(spec.window)) {
    offsets = {0, 0, 5 * B + 3};
    for (const std::int64_t rows : {B, spec.window + spec.horizon, std::int64_t{1}, 2 * B}) {
      offsets.push_back(offsets.back() + rows);
    }
    series = test::detail::random_tensor({offsets.back(), model.input_size()}, 1.0, rng).data;
    for (int i = 0; i < 6; ++i) {
      series[rng() % series.size()] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  SeriesView view() const { return {series.data(), offsets.back(), model.input_size()}; }
  WindowPlan plan(std::int64_t stride = 1) const {
    return {offsets, model.window(), model.horizon(), stride};
  }
  std::int64_t blocks(std::size_t g) const {
    return carried_blocks(offsets[g + 1] - offsets[g], model.window(), model.horizon());
  }
  std::vector<BlockId> all_blocks() const {
    std::vector<BlockId> all;
    for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
      for (std::int64_t j = 0; j < blocks(g); ++j) all.push_back({static_cast<std::int64_t>(g), j});
    }
    return all;
  }
  Floats scores(const ScoreOptions& options) const {
    Floats out(static_cast<std::size_t>(offsets.back()));
    model.score(view(), offsets, out.data(), options);
    return out;
  }
  // The rows where scores of a block's windows stand.
  bool in_block(const BlockId& block, std::int64_t row) const {
    const std::int64_t first = offsets[static_cast<std::size_t>(block.entity)];
    const std::int64_t target = row - first - model.horizon() + 1;
    return row < offsets[static_cast<std::size_t>(block.entity) + 1] &&
           target >= std::max(model.window(), block.block * B) && target < (block.block + 1) * B;
  }

  ModelFile file;
  ModelParts parts;
  SequenceModel model;
  std::int64_t B;
  std::vector<std::int64_t> offsets;
  Floats series;
};

void test_block_rows() {
  CHECK(carried_block_rows(1) == 5);
  CHECK(carried_block_rows(2) == 11);
  CHECK(carried_block_rows(7) == 29);
  CHECK(carried_block_rows(50) == 211);
  CHECK(carried_block_rows(250) == 1009);
  CHECK(carried_blocks(4, 3, 2) == 0);
  CHECK(carried_blocks(5, 3, 2) == 1);
  CHECK(carried_blocks(14, 3, 2) == 1);  // B = 13: the last first target row is 12
  CHECK(carried_blocks(15, 3, 2) == 2);
}

// Every block alone, and every other one, give their own scores and leave the others.
void test_chosen_blocks(std::mt19937& rng) {
  for (int k = 0; k < 20; ++k) {
    const Case c(rng);
    ScoreOptions options;
    options.windows = Windows::carried;
    options.num_threads = 1 + static_cast<int>(rng() % 3);
    const Floats whole = c.scores(options);
    const std::vector<BlockId> all = c.all_blocks();
    std::vector<std::vector<BlockId>> lists = {{}, all};
    for (const BlockId& block : all) lists.push_back({block});
    lists.emplace_back();
    for (std::size_t i = 0; i < all.size(); i += 2) lists.back().push_back(all[i]);
    for (const std::vector<BlockId>& blocks : lists) {
      Floats out(whole.size(), kUntouched);
      carried_scores(c.parts, c.view(), c.plan(), options, &blocks, out.data(), nullptr);
      for (std::int64_t row = 0; row < c.offsets.back(); ++row) {
        const bool run = std::any_of(blocks.begin(), blocks.end(),
                                     [&](const BlockId& b) { return c.in_block(b, row); });
        const auto i = static_cast<std::size_t>(row);
        CHECK(same(out[i], run ? whole[i] : kUntouched));
      }
    }
  }
}

void check_seams(const Case& c, const std::vector<BlockId>* blocks, std::int64_t stride,
                 Precision precision, const std::vector<Seam>& seams) {
  ScoreOptions options;
  const Floats exact = c.scores(options);
  const std::vector<BlockId> run = blocks ? *blocks : c.all_blocks();
  std::size_t next = 0;
  for (const BlockId& block : run) {
    const auto g = static_cast<std::size_t>(block.entity);
    const std::int64_t row = c.offsets[g] + (block.block + 1) * c.B + c.model.horizon() - 1;
    if (row >= c.offsets[g + 1]) continue;
    CHECK(next < seams.size());
    if (next == seams.size()) return;
    const Seam& seam = seams[next++];
    CHECK(seam.entity == block.entity && seam.block == block.block && seam.row == row);
    CHECK(same(seam.exact, exact[static_cast<std::size_t>(row)]));
    CHECK(std::isnan(seam.carried) == std::isnan(seam.exact));
    // As the score of a series whose chain runs on: a longer block is not to be had, but a series
    // that has no more than this window beyond its block has the same seam.
    std::vector<Seam> alone;
    const std::vector<BlockId> one = {block};
    options.precision = precision;
    options.num_threads = 1;
    Floats out(exact.size());
    carried_scores(c.parts, c.view(), c.plan(stride), options, &one, out.data(), &alone);
    CHECK(alone.size() == 1 && same(alone[0].carried, seam.carried) &&
          same(alone[0].exact, seam.exact));
  }
  CHECK(next == seams.size());
}

void test_seams(std::mt19937& rng) {
  for (int k = 0; k < 12; ++k) {
    const Case c(rng);
    for (const Precision precision : {Precision::highest, Precision::medium}) {
      const std::int64_t stride = std::max<std::int64_t>(1, c.model.window() / 3);
      ScoreOptions options;
      options.precision = precision;
      options.windows = Windows::carried;
      options.stride = stride;
      options.num_threads = 2;
      Floats whole = c.scores(options), out(whole.size(), kUntouched);
      std::vector<Seam> seams(3);
      carried_scores(c.parts, c.view(), c.plan(stride), options, nullptr, out.data(), &seams);
      CHECK(same(out, whole));
      check_seams(c, nullptr, stride, precision, seams);
      std::vector<BlockId> some = c.all_blocks();
      some.erase(some.begin() + 1);
      carried_scores(c.parts, c.view(), c.plan(stride), options, &some, out.data(), &seams);
      CHECK(same(out, whole));
      check_seams(c, &some, stride, precision, seams);
    }
  }
}

// The oldest state of a block is what the chain of a block twice as long would have there: it is
// the state of one forward pass from W rows before the block.
void test_seam_is_the_carried_state(std::mt19937& rng) {
  ModelSpec spec;
  LayerSpec layer;
  layer.input_size = 3;
  layer.hidden_size = 9;
  spec.encoder = {layer};
  spec.window = 4;
  spec.gain = 3.0;
  const Case c(spec, rng);
  ScoreOptions options;
  std::vector<Seam> seams;
  Floats out(static_cast<std::size_t>(c.offsets.back()));
  carried_scores(c.parts, c.view(), c.plan(), options, nullptr, out.data(), &seams);
  for (const Seam& seam : seams) {
    const std::int64_t first = c.offsets[static_cast<std::size_t>(seam.entity)];
    const std::int64_t start = first + std::max<std::int64_t>(0, seam.block * c.B - spec.window);
    bool whole = true;
    const std::int64_t F = layer.input_size;
    for (std::int64_t i = start * F; i < (seam.row + 1) * F; ++i) {
      whole = whole && std::isfinite(c.series[static_cast<std::size_t>(i)]);
    }
    if (!whole) continue;
    // A model whose window is all that the chain has taken.
    std::string metadata = c.file.metadata;
    const std::string window = "\"window\":4,";
    metadata.replace(metadata.find(window), window.size(),
                     "\"window\":" + std::to_string(seam.row - start) + ",");
    const SequenceModel longer(metadata, c.file.tensors);
    Floats score(static_cast<std::size_t>(seam.row + 1 - start));
    options.kernel = Kernel::fma;
    longer.score(SeriesView(c.series.data() + start * F, seam.row + 1 - start, F), {}, score.data(),
                 options);
    CHECK(std::abs(score.back() - seam.carried) <= 1e-6f * std::abs(score.back()));
    CHECK(seam.block == 0 || seam.carried != seam.exact);
  }
}

// Where products are made of bf16 parts, the exact score is still that of the same kernel.
void test_seams_of_matrix_kernels(std::mt19937& rng) {
  ModelSpec spec;
  LayerSpec layer;
  layer.input_size = 2;
  layer.hidden_size = 33;
  spec.encoder = {layer, layer};
  spec.encoder[1].cell = Cell::gru;
  const Case c(spec, rng);
  ScoreOptions options;
  options.kernel = Kernel::matrix;
  Floats exact;
  try {
    exact = c.scores(options);
  } catch (const UnsupportedError&) {
    return;  // this ISA has none
  }
  for (const Precision precision : {Precision::highest, Precision::high, Precision::medium}) {
    options.precision = precision;
    std::vector<Seam> seams;
    Floats out(exact.size());
    carried_scores(c.parts, c.view(), c.plan(), options, nullptr, out.data(), &seams);
    CHECK(seams.size() == 6);
    for (const Seam& seam : seams) {
      CHECK(same(seam.exact, exact[static_cast<std::size_t>(seam.row)]));
    }
    ScoreOptions carried = options;
    carried.windows = Windows::carried;
    carried.num_threads = 1;
    CHECK(same(out, c.scores(carried)));
  }
}

void test_refusals(std::mt19937& rng) {
  ModelSpec spec = forecaster(rng);
  spec.window = 10;
  const Case c(spec, rng);
  check_carried(c.parts, 1);
  check_carried(c.parts, 4);
  CHECK_THROWS(check_carried(c.parts, 5), UnsupportedError, "stride is above 4");
}

}  // namespace

int main() {
  test_block_rows();
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(11);
    test_chosen_blocks(rng);
    test_seams(rng);
    test_seam_is_the_carried_state(rng);
    test_seams_of_matrix_kernels(rng);
    test_refusals(rng);
  }
  return slidecell::test::result();
}
