#include "score/score.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include "cpu/parallel.h"
#include "score/choose_kernel.h"
#include "score/error_sum.h"
#include "score/option_rules.h"
#include "score/scratch.h"
#include "score/tile_runner.h"
#include "score/too_large.h"

namespace slidecell {
namespace {

constexpr float kNoScore = std::numeric_limits<float>::quiet_NaN();

// Calls work(workspace, vectors) for every tile of the plan, each thread with a workspace of
// make().
template <class Make, class Work>
void for_tiles(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
               const WindowPlan& plan, int num_threads, Make make, Work work) {
  const VectorPlan vectors(plan, kernels.lanes);
  const std::int64_t size = tile_vectors(kernels, model, choice);
  parallel_for(ceil_div(vectors.size(), size),
               affordable_threads(model, kernels, choice, plan, 0, num_threads), make,
               [&](auto& workspace, std::int64_t i) { work(*workspace, vectors.tile(i, size)); });
}

// Calls write(v, lane, column) for every window of the tile, in order.
template <class Write>
void for_windows(const WindowTile& tile, std::int64_t lanes, Write write) {
  for (std::int64_t v = 0; v < tile.size(); ++v) {
    const std::int64_t count = tile.vectors()[static_cast<std::size_t>(v)].count;
    for (std::int64_t lane = 0; lane < count; ++lane) write(v, lane, v * lanes + lane);
  }
}

void fill_with_nan(float* out, std::int64_t size, int num_threads) {
  constexpr std::int64_t kChunk = std::int64_t{1} << 20;
  parallel_for(
      ceil_div(size, kChunk), num_threads, [] { return 0; },
      [&](int, std::int64_t i) {
        std::fill(out + i * kChunk, out + std::min(size, (i + 1) * kChunk), kNoScore);
      });
}

// aggregate "window" and "last", and forecasts: one score per window, at the last row it needs.
class WindowScorer final : public PredictionSink {
 public:
  WindowScorer(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
               const SeriesView& series, const WindowPlan& plan, const ScoreOptions& options,
               float* out, std::atomic<bool>& too_large)
      : kernels_(kernels),
        too_large_(too_large),
        runner_(model, kernels, choice, series, plan),
        errors_(model, kernels, options.reduction, options.per_feature, runner_.stride()),
        span_(plan.window() + plan.horizon()),
        first_row_(first_row(options.aggregate, plan.window())),
        scale_(static_cast<float>(1.0 / error_divisor(model, options.reduction, options.per_feature,
                                                      model.predicted_rows() - first_row_))),
        sums_(errors_.values() * runner_.stride()),
        out_(out) {}

  void score(const std::vector<WindowVector>& vectors) {
    runner_.load(vectors);
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
        divisor_(error_divisor(model, options.reduction, options.per_feature, 1)),
        steps_(plan.window() * errors_.values() * runner_.stride()),
        out_(out) {}

  // Rows first .. end-1 of the entity, counted from the entity's first row.
  void score(std::int64_t entity, std::int64_t first, std::int64_t end) {
    const std::int64_t values = errors_.values(), stride = plan_.stride(), W = plan_.window();
    const auto g = static_cast<std::size_t>(entity);
    const std::int64_t windows = plan_.first_window()[g + 1] - plan_.first_window()[g];
    sums_.assign(static_cast<std::size_t>((end - first) * values), 0.0);
    counts_.assign(static_cast<std::size_t>(end - first), 0);
    const std::int64_t first_window = first < W ? 0 : (first - W) / stride + 1;
    const std::int64_t end_window = std::min(windows, (end - 1) / stride + 1);
    std::vector<WindowVector> vectors;
    for (std::int64_t w = first_window; w < end_window; w += kernels_.lanes) {
      vectors.push_back({entity, w, std::min(kernels_.lanes, end_window - w)});
      if (static_cast<std::int64_t>(vectors.size()) == runner_.max_vectors() ||
          w + kernels_.lanes >= end_window) {
        add_tile(vectors, plan_.offsets()[g] + first, plan_.offsets()[g] + end);
        vectors.clear();
      }
    }
    for (std::int64_t r = 0; r < end - first; ++r) {
      const double n = counts_[static_cast<std::size_t>(r)];
      if (n == 0) continue;
      for (std::int64_t i = 0; i < values; ++i) {
        out_[(plan_.offsets()[g] + first + r) * values + i] = score_of(
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
  void add_tile(const std::vector<WindowVector>& vectors, std::int64_t first_row,
                std::int64_t end_row) {
    runner_.load(vectors);
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
  double divisor_;
  AlignedFloats steps_;       // [W][values][stride]
  std::vector<double> sums_;  // [rows of the block][values]
  std::vector<std::int64_t> counts_;
  float* out_;
};

void score_rows(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
                const SeriesView& series, const WindowPlan& plan, const ScoreOptions& options,
                float* out, std::atomic<bool>& too_large) {
  // Windows that reach across a block's edge are computed twice: W - 1 of at least 4 W.
  const std::int64_t block = std::max<std::int64_t>(4 * plan.window(), 1024);
  std::vector<std::int64_t> first_block{0};
  for (std::int64_t g = 0; g < plan.num_entities(); ++g) {
    const auto i = static_cast<std::size_t>(g);
    first_block.push_back(first_block.back() +
                          ceil_div(plan.offsets()[i + 1] - plan.offsets()[i], block));
  }
  const std::int64_t values = options.per_feature ? model.num_targets() : 1;
  parallel_for(
      first_block.back(),
      affordable_threads(model, kernels, choice, plan, values, options.num_threads),
      [&] {
        return std::make_unique<RowScorer>(model, kernels, choice, series, plan, options, out,
                                           too_large);
      },
      [&](auto& scorer, std::int64_t i) {
        const auto after = std::upper_bound(first_block.begin(), first_block.end(), i);
        const auto g = static_cast<std::size_t>(after - first_block.begin()) - 1;
        const std::int64_t rows = plan.offsets()[g + 1] - plan.offsets()[g];
        const std::int64_t first = (i - first_block[g]) * block;
        scorer->score(static_cast<std::int64_t>(g), first, std::min(rows, first + block));
      });
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

  void write(const std::vector<WindowVector>& vectors) {
    runner_.load(vectors);
    runner_.predict(*this);
  }

  void on_row(std::int64_t row, const float* pred) override {
    const std::int64_t T = model_.num_targets();
    const WindowPlan& plan = runner_.tile().plan();
    const float* given = variances_ ? pred + model_.head_size() * runner_.stride() : pred;
    for_windows(
        runner_.tile(), kernels_.lanes,
        [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
          const WindowVector& vector = runner_.tile().vectors()[static_cast<std::size_t>(v)];
          const std::int64_t window =
              plan.first_window()[static_cast<std::size_t>(vector.entity)] + vector.window + lane;
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
      [](PredictionWriter& writer, const std::vector<WindowVector>& tile) { writer.write(tile); });
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
        [](WindowScorer& scorer, const std::vector<WindowVector>& tile) { scorer.score(tile); });
  }
  score_too_large_rows(model, series, plan, options.per_feature, too_large, options.num_threads,
                       out);
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
      [&](TileRunner& runner, const std::vector<WindowVector>& tile) {
        runner.load(tile);
        const float* code = runner.encode();
        for_windows(
            runner.tile(), kernels.lanes,
            [&](std::int64_t v, std::int64_t lane, std::int64_t column) {
              const WindowVector& vector = runner.tile().vectors()[static_cast<std::size_t>(v)];
              const std::int64_t window =
                  plan.first_window()[static_cast<std::size_t>(vector.entity)] + vector.window +
                  lane;
              const bool complete = runner.tile().complete(v, lane, model.window);
              for (std::int64_t i = 0; i < size; ++i) {
                out[window * size + i] = complete ? code[i * runner.stride() + column] : kNoScore;
              }
            });
      });
}

}  // namespace slidecell
