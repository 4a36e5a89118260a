// Every window at a lower precision, measured by windows chosen by a hash.
#include <algorithm>
#include <limits>

#include "cpu/active_kernels.h"
#include "flag/cheap_pass.h"
#include "flag/step_cost.h"
#include "score/choose_kernel.h"
#include "score/option_rules.h"
#include "score/score.h"

namespace slidecell {
namespace {

constexpr std::int64_t kBlock = 256;  // windows that one seam measures

class SampledPass final : public CheapPass {
 public:
  SampledPass(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
              const ScoreOptions& options, Precision precision)
      : model_(model), series_(series), plan_(plan), exact_(options), cheap_(options) {
    cheap_.precision = precision;
  }

  const char* name() const override { return name_of(cheap_.precision); }

  double steps() const override {
    const KernelTable& kernels = active_kernels();
    const KernelChoice exact = choose_kernel(kernels, model_, exact_.precision, exact_.kernel);
    const KernelChoice cheap = choose_kernel(kernels, model_, cheap_.precision, cheap_.kernel);
    const auto W = static_cast<double>(plan_.window());
    return W * (step_cost(model_, cheap, exact, false) + 1.0 / static_cast<double>(kBlock));
  }

  std::int64_t blocks() const override { return ceil_div(plan_.size(), kBlock); }
  WindowRange windows(std::int64_t block) const override {
    return {block * kBlock, std::min(plan_.size(), (block + 1) * kBlock)};
  }
  std::int64_t block_of(std::int64_t, std::int64_t window) const override {
    return window / kBlock;
  }

  std::vector<MeasuredSeam> score(float* out) const override {
    score_windows(model_, series_, plan_, cheap_, out);
    std::vector<std::int64_t> seams;
    for (std::int64_t b = 0; b < blocks(); ++b) seams.push_back(seam(b));
    return measure(seams, out);
  }

  std::vector<MeasuredSeam> score_blocks(const std::vector<std::int64_t>& blocks,
                                         float* out) const override {
    std::vector<std::int64_t> all, seams;
    for (const std::int64_t b : blocks) {
      const WindowRange range = windows(b);
      for (std::int64_t w = range.first; w < range.end; ++w) {
        all.push_back(w);
        out[score_row(plan_, w)] = std::numeric_limits<float>::quiet_NaN();
      }
      seams.push_back(seam(b));
    }
    score_chosen_windows(model_, series_, plan_, cheap_, all, out);
    return measure(seams, out);
  }

 private:
  std::int64_t seam(std::int64_t block) const {
    const WindowRange range = windows(block);
    const auto count = static_cast<std::uint64_t>(range.end - range.first);
    return range.first +
           static_cast<std::int64_t>(hash_of(static_cast<std::uint64_t>(block)) % count);
  }

  // Puts the exact scores of these windows in the place of their cheap ones.
  std::vector<MeasuredSeam> measure(const std::vector<std::int64_t>& windows, float* out) const {
    std::vector<MeasuredSeam> seams;
    for (const std::int64_t w : windows) {
      const std::int64_t row = score_row(plan_, w);
      seams.push_back({plan_.entity_of(w), block_of(0, w), row, out[row], 0});
    }
    score_chosen_windows(model_, series_, plan_, exact_, windows, out);
    for (MeasuredSeam& s : seams) s.exact = out[s.row];
    return seams;
  }

  const ModelParts& model_;
  const SeriesView& series_;
  const WindowPlan& plan_;
  ScoreOptions exact_, cheap_;
};

}  // namespace

std::unique_ptr<CheapPass> sampled_pass(const ModelParts& model, const SeriesView& series,
                                        const WindowPlan& plan, const ScoreOptions& options,
                                        Precision precision) {
  return std::make_unique<SampledPass>(model, series, plan, options, precision);
}

}  // namespace slidecell
