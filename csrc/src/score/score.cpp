#include "score/score.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "cpu/parallel.h"
#include "score/choose_kernel.h"
#include "score/chosen_windows.h"
#include "score/error_sum.h"
#include "score/no_score.h"
#include "score/option_rules.h"
#include "score/scratch.h"
#include "score/tile_runner.h"
#include "score/too_large.h"

namespace slidecell {
namespace {

// Calls work(workspace, windows) for every tile of the plan, each thread with a workspace of
// make().
template <class Make, class Work>
void for_tiles(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
               const WindowPlan& plan, int num_threads, Make make, Work work) {
  const VectorPlan vectors(plan, kernels.lanes, mix_rule(kernels, model, choice));
  parallel_for(vectors.tiles(), affordable_threads(model, kernels, choice, plan, 0, num_threads),
               make, [&](auto& workspace, std::int64_t i) { work(*workspace, vectors.tile(i)); });
}

// Calls write(v, lane, column) for every window of the tile, in order.
template <class Write>
void for_windows(const WindowTile& tile, std::int64_t lanes, Write write) {
  for (std::int64_t v = 0; v < tile.size(); ++v) {
    const std::int64_t count = tile.count(v);
    for (std::int64_t lane = 0; lane < count; ++lane) write(v, lane, v * lanes + lane);
  }
}

// aggregate "window" and "last", and forecasts: one score per window, at the last row it needs.
class WindowScorer final : public PredictionSink {
 public:
  WindowScorer(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
               const SeriesView& series, const WindowPlan& plan, const ScoreOptions& options,
               float* out, std::atomic<bool>& too_large, Which which = Which::all)
      : kernels_(kernels),
        too_large_(too_large),
        runner_(model, kernels, choice, series, plan, which),
        errors_(model, kernels, options.reduction, options.per_feature, runner_.stride()),
        span_(plan.window() + plan.horizon()),
        first_row_(first_row(options.aggregate, plan.window())),
        scale_(static_cast<float>(1.0 / error_divisor(model, options.reduction, options.per_feature,
                                                      model.predicted_rows() - first_row_))),
        sums_(errors_.values() * runner_.stride()),
        out_(out) {}

  void score(const TileWindows& windows) {
    runner_.load(windows);
    if (runner_.tile().any_too_large()) too_large_ = true;
    errors_.clear(sums_.data());
    runner_.predict(*this, first_row_);
    const std::int64_t values = errors_.values();
    for_windows(runner_.tile(), kernels_.lanes,
                [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
                  if (!runner_.tile().complete(v, lane, span_)) return;
                  float* row = out_ + (runner_.tile().start(v, lane) + span_ - 1) * values;
                  for (std::int64_t i = 0; i < values; ++i) {
                    row[i] = score_of(sums_.data()[i * runner_.stride() + column] * scale_);
                  }
                });
  }

  void on_row(std::int64_t row, const float* pred) override {
    errors_.add(runner_.tile(), row, pred, sums_.data());
  }

 private:
  const KernelTable& kernels_;
  std::atomic<bool>& too_large_;  // set where a row is
  TileRunner runner_;
  ErrorSum errors_;
  std::int64_t span_;
  std::int64_t first_row_;
  float scale_;
  AlignedFloats sums_;  // [values][stride]
  float* out_;
};

// Rows of the series, of one entity or of all of some neighbouring short ones.
struct RowBlock {
  std::int64_t first_entity, end_entity;
  std::int64_t first_row, end_row;
};

// aggregate "mean": a row's own errors, averaged over all windows that cover it. Works on blocks
// of rows; the windows that reach into a block are computed for it alone, so that each row's sum
// runs over its windows in ascending order whatever the blocks are.
class RowScorer final : public PredictionSink {
 public:
  RowScorer(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
            const SeriesView& series, const WindowPlan& plan, const ScoreOptions& options,
            float* out, std::atomic<bool>& too_large)
      : kernels_(kernels),
        plan_(plan),
        too_large_(too_large),
        runner_(model, kernels, choice, series, plan),
        errors_(model, kernels, options.reduction, options.per_feature, runner_.stride()),
        rule_(mix_rule(kernels, model, choice)),
        mixes_(may_mix(plan, kernels.lanes, rule_)),
        divisor_(error_divisor(model, options.reduction, options.per_feature, 1)),
        steps_(plan.window() * errors_.values() * runner_.stride()),
        out_(out) {}

  void score(const RowBlock& block) {
    const std::int64_t values = errors_.values(), rows = block.end_row - block.first_row;
    sums_.assign(static_cast<std::size_t>(rows * values), 0.0);
    counts_.assign(static_cast<std::size_t>(rows), 0);
    add_windows(block);
    for (std::int64_t r = 0; r < rows; ++r) {
      const double n = counts_[static_cast<std::size_t>(r)];
      if (n == 0) continue;
      for (std::int64_t i = 0; i < values; ++i) {
        out_[(block.first_row + r) * values + i] = score_of(
            static_cast<float>(sums_[static_cast<std::size_t>(r * values + i)] / (n * divisor_)));
      }
    }
  }

  void on_row(std::int64_t row, const float* pred) override {
    float* sums = steps_.data() + row * errors_.values() * runner_.stride();
    errors_.clear(sums);
    errors_.add(runner_.tile(), row, pred, sums);
  }

 private:
  // Full vectors first, then what is left of each entity: every row meets its windows in order.
  void add_windows(const RowBlock& block) {
    TileWindows own;
    std::vector<WindowRun> left;
    std::int64_t windows_left = 0;
    for (std::int64_t g = block.first_entity; g < block.end_entity; ++g) {
      const WindowRun all = windows_of(block, g);
      for (std::int64_t w = 0; w < all.count; w += kernels_.lanes) {
        const std::int64_t count = std::min(kernels_.lanes, all.count - w);
        if (mixes_ && block.end_entity - block.first_entity > 1 && count <= rule_.most &&
            count < kernels_.lanes) {
          left.push_back({g, all.window + w, count});
          windows_left += count;
        } else {
          add_run({g, all.window + w, count}, own, block);
        }
      }
    }
    flush(own, block);
    TileWindows rest;
    rest.mixed = ceil_div(windows_left, kernels_.lanes) < static_cast<std::int64_t>(left.size());
    for (const WindowRun& run : left) add_run(run, rest, block);
    flush(rest, block);
  }

  // The windows of entity g that reach into the block.
  WindowRun windows_of(const RowBlock& block, std::int64_t g) const {
    const std::int64_t stride = plan_.stride(), W = plan_.window();
    const auto i = static_cast<std::size_t>(g);
    const std::int64_t first = std::max<std::int64_t>(0, block.first_row - plan_.offsets()[i]);
    const std::int64_t end = std::min(block.end_row, plan_.offsets()[i + 1]) - plan_.offsets()[i];
    const std::int64_t windows = plan_.first_window()[i + 1] - plan_.first_window()[i];
    const std::int64_t first_window = first < W ? 0 : (first - W) / stride + 1;
    const std::int64_t end_window = end > 0 ? std::min(windows, (end - 1) / stride + 1) : 0;
    return {g, first_window, std::max<std::int64_t>(0, end_window - first_window)};
  }

  // Appends the run to the tile; a full tile is computed and emptied.
  void add_run(WindowRun run, TileWindows& tile, const RowBlock& block) {
    const std::int64_t most = runner_.max_vectors() * kernels_.lanes;
    while (run.count > 0) {
      const std::int64_t count =
          tile.mixed ? std::min(run.count, most - windows_in(tile)) : run.count;
      tile.runs.push_back({run.entity, run.window, count});
      run.window += count;
      run.count -= count;
      const bool full = tile.mixed
                            ? windows_in(tile) == most
                            : static_cast<std::int64_t>(tile.runs.size()) == runner_.max_vectors();
      if (full) flush(tile, block);
    }
  }

  static std::int64_t windows_in(const TileWindows& tile) {
    std::int64_t windows = 0;
    for (const WindowRun& run : tile.runs) windows += run.count;
    return windows;
  }

  void flush(TileWindows& tile, const RowBlock& block) {
    if (!tile.runs.empty()) add_tile(tile, block.first_row, block.end_row);
    tile.runs.clear();
  }

  void add_tile(const TileWindows& windows, std::int64_t first_row, std::int64_t end_row) {
    runner_.load(windows);
    if (runner_.tile().any_too_large()) too_large_ = true;
    runner_.predict(*this);
    const std::int64_t values = errors_.values(), W = plan_.window();
    for_windows(runner_.tile(), kernels_.lanes,
                [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
                  if (!runner_.tile().complete(v, lane, W)) return;
                  const std::int64_t start = runner_.tile().start(v, lane);
                  for (std::int64_t t = std::max<std::int64_t>(0, first_row - start);
                       t < std::min(W, end_row - start); ++t) {
                    const std::int64_t r = start + t - first_row;
                    ++counts_[static_cast<std::size_t>(r)];
                    for (std::int64_t i = 0; i < values; ++i) {
                      sums_[static_cast<std::size_t>(r * values + i)] += static_cast<double>(
                          steps_.data()[(t * values + i) * runner_.stride() + column]);
                    }
                  }
                });
  }

  const KernelTable& kernels_;
  const WindowPlan& plan_;
  std::atomic<bool>& too_large_;  // set where a row is
  TileRunner runner_;
  ErrorSum errors_;
  MixRule rule_;
  bool mixes_;
  double divisor_;
  AlignedFloats steps_;       // [W][values][stride]
  std::vector<double> sums_;  // [rows of the block][values]
  std::vector<std::int64_t> counts_;
  float* out_;
};

// Cuts long entities and joins short ones.
std::vector<RowBlock> row_blocks(const WindowPlan& plan, std::int64_t tile_windows) {
  // Windows that reach across a block's edge are computed twice: W - 1 of at least 4 W.
  const std::int64_t most = std::max<std::int64_t>(4 * plan.window(), 1024);
  // Entities of one window fill a tile.
  constexpr std::int64_t kMostJoined = 16384;
  const std::int64_t joined = std::max(most, std::min(kMostJoined, plan.window() * tile_windows));
  std::vector<RowBlock> blocks;
  for (std::int64_t g = 0; g < plan.num_entities(); ++g) {
    const auto i = static_cast<std::size_t>(g);
    const std::int64_t first = plan.offsets()[i], end = plan.offsets()[i + 1];
    if (end - first <= most && !blocks.empty() && blocks.back().end_entity == g &&
        blocks.back().first_row ==
            plan.offsets()[static_cast<std::size_t>(blocks.back().first_entity)] &&
        end - blocks.back().first_row <= joined) {
      blocks.back().end_entity = g + 1;
      blocks.back().end_row = end;
      continue;
    }
    for (std::int64_t row = first; row < end; row += most) {
      blocks.push_back({g, g + 1, row, std::min(end, row + most)});
    }
  }
  return blocks;
}

void score_rows(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
                const SeriesView& series, const WindowPlan& plan, const ScoreOptions& options,
                float* out, std::atomic<bool>& too_large) {
  const std::vector<RowBlock> blocks =
      row_blocks(plan, tile_vectors(kernels, model, choice) * kernels.lanes);
  const std::int64_t values = options.per_feature ? model.num_targets() : 1;
  parallel_for(
      static_cast<std::int64_t>(blocks.size()),
      affordable_threads(model, kernels, choice, plan, values, options.num_threads),
      [&] {
        return std::make_unique<RowScorer>(model, kernels, choice, series, plan, options, out,
                                           too_large);
      },
      [&](auto& scorer, std::int64_t i) { scorer->score(blocks[static_cast<std::size_t>(i)]); });
}

// Writes the predictions, or their log variances.
class PredictionWriter final : public PredictionSink {
 public:
  PredictionWriter(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
                   const SeriesView& series, const WindowPlan& plan, bool variances, float* out)
      : model_(model),
        kernels_(kernels),
        runner_(model, kernels, choice, series, plan),
        variances_(variances),
        out_(out) {}

  void write(const TileWindows& windows) {
    runner_.load(windows);
    runner_.predict(*this);
  }

  void on_row(std::int64_t row, const float* pred) override {
    const std::int64_t T = model_.num_targets();
    const float* given = variances_ ? pred + model_.head_size() * runner_.stride() : pred;
    for_windows(runner_.tile(), kernels_.lanes,
                [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
                  const std::int64_t window = runner_.tile().window(v, lane);
                  const bool complete = runner_.tile().complete(v, lane, model_.window);
                  float* out = out_ + (window * model_.predicted_rows() + row) * T;
                  for (std::int64_t i = 0; i < T; ++i) {
                    out[i] = complete ? raw(i, given[i * runner_.stride() + column]) : kNoScore;
                  }
                });
  }

 private:
  float raw(std::int64_t target, float scaled) const {
    return variances_ ? model_.raw_log_variance(target, scaled) : model_.raw(target, scaled);
  }

  const ModelParts& model_;
  const KernelTable& kernels_;
  TileRunner runner_;
  bool variances_;
  float* out_;
};

void write_predictions(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                       int num_threads, bool variances, float* out) {
  const KernelTable& kernels = active_kernels();
  const KernelChoice choice = choose_kernel(kernels, model, Precision::highest, Kernel::fma);
  for_tiles(
      model, kernels, choice, plan, num_threads,
      [&] {
        return std::make_unique<PredictionWriter>(model, kernels, choice, series, plan, variances,
                                                  out);
      },
      [](PredictionWriter& writer, const TileWindows& tile) { writer.write(tile); });
}

}  // namespace

void score_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                   const ScoreOptions& options, float* out) {
  const KernelChoice choice =
      choose_kernel(active_kernels(), model, options.precision, options.kernel);
  const KernelTable& kernels = *choice.kernels;
  fill_with_nan(out, series.rows * (options.per_feature ? model.num_targets() : 1),
                options.num_threads);
  std::atomic<bool> too_large{false};
  if (averages_rows(options.aggregate)) {
    score_rows(model, kernels, choice, series, plan, options, out, too_large);
  } else {
    for_tiles(
        model, kernels, choice, plan, options.num_threads,
        [&] {
          return std::make_unique<WindowScorer>(model, kernels, choice, series, plan, options, out,
                                                too_large);
        },
        [](WindowScorer& scorer, const TileWindows& tile) { scorer.score(tile); });
  }
  score_too_large_rows(model, series, plan, options.per_feature, too_large, options.num_threads,
                       out);
}

void score_chosen_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                          const ScoreOptions& options, Span<const std::int64_t> windows,
                          float* out) {
  const KernelChoice choice =
      choose_kernel(active_kernels(), model, options.precision, options.kernel);
  const KernelTable& kernels = *choice.kernels;
  const std::vector<TileWindows> tiles =
      chosen_tiles(plan, windows, kernels.lanes, mix_rule(kernels, model, choice));
  std::atomic<bool> too_large{false};  // not asked for here
  parallel_for(
      static_cast<std::int64_t>(tiles.size()),
      affordable_threads(model, kernels, choice, plan, 0, options.num_threads, Which::chosen),
      [&] {
        return std::make_unique<WindowScorer>(model, kernels, choice, series, plan, options, out,
                                              too_large, Which::chosen);
      },
      [&](auto& scorer, std::int64_t i) { scorer->score(tiles[static_cast<std::size_t>(i)]); });
}

void predict_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                     int num_threads, float* out) {
  write_predictions(model, series, plan, num_threads, false, out);
}

void predict_log_variances(const ModelParts& model, const SeriesView& series,
                           const WindowPlan& plan, int num_threads, float* out) {
  write_predictions(model, series, plan, num_threads, true, out);
}

void encode_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    int num_threads, float* out) {
  const KernelTable& kernels = active_kernels();
  const KernelChoice choice = choose_kernel(kernels, model, Precision::highest, Kernel::fma);
  const std::int64_t size = model.encoder->output_size();
  for_tiles(
      model, kernels, choice, plan, num_threads,
      [&] { return std::make_unique<TileRunner>(model, kernels, choice, series, plan); },
      [&](TileRunner& runner, const TileWindows& tile) {
        runner.load(tile);
        const float* code = runner.encode();
        for_windows(runner.tile(), kernels.lanes,
                    [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
                      const std::int64_t window = runner.tile().window(v, lane);
                      const bool complete = runner.tile().complete(v, lane, model.window);
                      for (std::int64_t i = 0; i < size; ++i) {
                        out[window * size + i] =
                            complete ? code[i * runner.stride() + column] : kNoScore;
                      }
                    });
      });
}

}  // namespace slidecell
