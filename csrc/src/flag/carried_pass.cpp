// Every window by carried states, measured where a chain meets the next block.
#include <algorithm>

#include "cpu/active_kernels.h"
#include "flag/cheap_pass.h"
#include "flag/step_cost.h"
#include "score/carried.h"
#include "score/choose_kernel.h"
#include "weights/pack.h"
#include "weights/pack_codes.h"

namespace slidecell {
namespace {

class CarriedPass final : public CheapPass {
 public:
  CarriedPass(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
              const ScoreOptions& options, Precision precision)
      : model_(model),
        series_(series),
        plan_(plan),
        exact_(options),
        cheap_(options),
        rows_(carried_block_rows(plan.window())) {
    cheap_.precision = precision;
    first_block_.push_back(0);
    for (std::int64_t g = 0; g < plan.num_entities(); ++g) {
      const auto i = static_cast<std::size_t>(g);
      first_block_.push_back(
          first_block_.back() +
          carried_blocks(plan.offsets()[i + 1] - plan.offsets()[i], plan.window(), plan.horizon()));
    }
  }

  const char* name() const override {
    return asks_for_codes(cheap_.precision) ? "carried_low" : "carried";
  }
  bool carries_states() const override { return true; }

  // Each block begins W rows before it, and takes one row after the other whatever the stride. The
  // exact score at its seam takes W steps more, where no chain gives it.
  double steps() const override {
    const KernelTable& kernels = active_kernels();
    const KernelChoice exact = choose_kernel(kernels, model_, exact_.precision, exact_.kernel);
    const KernelChoice cheap = choose_kernel(kernels, model_, cheap_.precision, cheap_.kernel);
    const auto B = static_cast<double>(rows_), W = static_cast<double>(plan_.window());
    const double apart = chains_are_exact(cheap, exact) ? 0 : W;
    return ((W + B) * step_cost(model_, cheap, exact, true) + apart) / B *
           static_cast<double>(plan_.stride());
  }

  std::int64_t blocks() const override { return first_block_.back(); }

  WindowRange windows(std::int64_t block) const override {
    const BlockId id = id_of(block);
    const auto g = static_cast<std::size_t>(id.entity);
    const std::int64_t first = plan_.first_window()[g];
    const std::int64_t count = plan_.first_window()[g + 1] - first;
    // Windows of the entity before the one whose first target row is `row`, or follows it.
    const auto before = [&](std::int64_t row) {
      return std::min(count,
                      ceil_div(std::max<std::int64_t>(0, row - plan_.window()), plan_.stride()));
    };
    return {first + before(id.block * rows_), first + before((id.block + 1) * rows_)};
  }

  std::int64_t block_of(std::int64_t entity, std::int64_t window) const override {
    const auto g = static_cast<std::size_t>(entity);
    const std::int64_t start = (window - plan_.first_window()[g]) * plan_.stride();
    return first_block_[g] + (start + plan_.window()) / rows_;
  }

  std::vector<MeasuredSeam> score(float* out) const override { return run(nullptr, out); }

  std::vector<MeasuredSeam> score_blocks(const std::vector<std::int64_t>& blocks,
                                         float* out) const override {
    std::vector<BlockId> ids;
    for (const std::int64_t b : blocks) ids.push_back(id_of(b));
    return run(&ids, out);
  }

 private:
  BlockId id_of(std::int64_t block) const {
    const auto after = std::upper_bound(first_block_.begin(), first_block_.end(), block);
    const std::int64_t entity = after - first_block_.begin() - 1;
    return {entity, block - first_block_[static_cast<std::size_t>(entity)]};
  }

  std::vector<MeasuredSeam> run(const std::vector<BlockId>* blocks, float* out) const {
    std::vector<Seam> seams;
    carried_scores(model_, series_, plan_, cheap_, blocks, out, &seams);
    std::vector<MeasuredSeam> measured;
    measured.reserve(seams.size());
    for (const Seam& s : seams) {
      measured.push_back({s.entity, first_block_[static_cast<std::size_t>(s.entity)] + s.block,
                          s.row, s.carried, s.exact});
    }
    return measured;
  }

  const ModelParts& model_;
  const SeriesView& series_;
  const WindowPlan& plan_;
  ScoreOptions exact_, cheap_;
  std::int64_t rows_;                      // of a block
  std::vector<std::int64_t> first_block_;  // [G+1] blocks before each entity
};

}  // namespace

std::unique_ptr<CheapPass> carried_pass(const ModelParts& model, const SeriesView& series,
                                        const WindowPlan& plan, const ScoreOptions& options,
                                        Precision precision) {
  return std::make_unique<CarriedPass>(model, series, plan, options, precision);
}

}  // namespace slidecell
