// SequenceModel::score at the edges of its arguments.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "models.h"
#include "slidecell/cpu.hpp"
#include "slidecell/model.hpp"
#include "test.h"

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

// Any stride longer than the series leaves the first window of each entity, the longest too.
void test_long_strides(std::mt19937& rng) {
  constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max();
  for (int k = 0; k < 20; ++k) {
    const ModelSpec spec = test::random_spec(rng);
    const SequenceModel model = test::random_model(spec, rng);
    const std::vector<std::int64_t> offsets = {0, 57, 57, 100, 2500};
    const std::int64_t S = offsets.back();
    const Floats series = test::detail::random_tensor({S, model.input_size()}, 1.0, rng).data;
    const SeriesView view(series.data(), S, model.input_size());
    std::vector<Aggregate> aggregates = {Aggregate::window};
    if (spec.horizon == 0) aggregates = {Aggregate::window, Aggregate::last, Aggregate::mean};
    for (const Aggregate aggregate : aggregates) {
      Floats expected(static_cast<std::size_t>(S)), got(expected.size());
      ScoreOptions options;
      options.aggregate = aggregate;
      options.num_threads = 1;
      options.stride = S;
      model.score(view, offsets, expected.data(), options);
      for (const std::int64_t stride : {S + 1, kLongest / 2, kLongest}) {
        options.stride = stride;
        model.score(view, offsets, got.data(), options);
        CHECK(same(got, expected));
      }
    }
    // Every entity has its window.
    const WindowPlan plan(offsets, model.window(), model.horizon(), kLongest);
    CHECK(plan.size() == 3);
    Floats codes(static_cast<std::size_t>(3 * model.code_size()));
    model.encode(view, plan, codes.data(), 1);
    CHECK(codes == codes);  // no NaN: the rows are finite
  }
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(9);
    test_long_strides(rng);
  }
  return slidecell::test::result();
}
