#include "score/carried.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

#include "cpu/active_kernels.h"
#include "cpu/parallel.h"
#include "score/chain_plan.h"
#include "score/chain_runner.h"
#include "score/choose_kernel.h"
#include "score/no_score.h"
#include "score/scratch.h"
#include "score/tile_runner.h"
#include "score/too_large.h"
#include "slidecell/error.hpp"

namespace slidecell {
namespace {

// Chains that are listed at once, so that a list of all blocks is never held.
constexpr std::int64_t kListedChains = std::int64_t{1} << 15;

bool is_prime(std::int64_t n) {
  for (std::int64_t d = 2; d <= n / d; ++d) {
    if (n % d == 0) return false;
  }
  return n >= 2;
}

// carried_blocks with B rows to a block, which take a while to find.
std::int64_t blocks_of(std::int64_t rows, std::int64_t window, std::int64_t horizon,
                       std::int64_t B) {
  return rows < window + horizon ? 0 : (rows - horizon) / B + 1;
}

// Blocks of all entities in order, or those of a list.
class Blocks {
 public:
  Blocks(const WindowPlan& plan, std::int64_t B, const std::vector<BlockId>* listed)
      : plan_(plan), B_(B), listed_(listed) {}

  bool next(BlockId& block) {
    if (listed_) {
      if (index_ == listed_->size()) return false;
      block = (*listed_)[index_++];
      return true;
    }
    for (; entity_ < plan_.num_entities(); ++entity_, block_ = 0) {
      const auto g = static_cast<std::size_t>(entity_);
      const std::int64_t rows = plan_.offsets()[g + 1] - plan_.offsets()[g];
      if (block_ < blocks_of(rows, plan_.window(), plan_.horizon(), B_)) {
        block = {entity_, block_++};
        return true;
      }
    }
    return false;
  }

 private:
  const WindowPlan& plan_;
  std::int64_t B_;
  const std::vector<BlockId>* listed_;
  std::size_t index_ = 0;
  std::int64_t entity_ = 0, block_ = 0;
};

// Lists chains and runs them, in waves.
class Waves {
 public:
  Waves(const ModelParts& model, const KernelChoice& choice, const ChainScores& scores,
        std::int64_t longest, int num_threads)
      : model_(model),
        choice_(choice),
        scores_(scores),
        longest_(longest),
        max_vectors_(tile_vectors(*choice.kernels, model, choice)),
        num_threads_(num_threads) {
    chains_.reserve(static_cast<std::size_t>(kListedChains));
  }

  void add(const Chain& chain) {
    chains_.push_back(chain);
    if (static_cast<std::int64_t>(chains_.size()) == kListedChains) run();
  }

  // What is listed and not yet run.
  void run() {
    if (chains_.empty()) return;
    const KernelTable& kernels = *choice_.kernels;
    const double each =
        ChainRunner::bytes(model_, scores_.per_feature, max_vectors_ * kernels.lanes);
    const int threads = threads_for_scratch(each, "horizon", model_.horizon, num_threads_);
    const ChainPlan plan(chains_, longest_, kernels.lanes, max_vectors_, threads);
    parallel_for(
        plan.tiles(), threads,
        [&] {
          return std::make_unique<ChainRunner>(model_, kernels, choice_, scores_,
                                               plan.tile_lanes());
        },
        [&](auto& runner, std::int64_t tile) {
          runner->run(plan, tile);
          if (runner->met_too_large()) met_too_large_ = true;
        });
    chains_.clear();
  }

  bool met_too_large() const { return met_too_large_; }

 private:
  const ModelParts& model_;
  const KernelChoice& choice_;
  ChainScores scores_;
  std::int64_t longest_, max_vectors_;
  int num_threads_;
  std::vector<Chain> chains_;
  std::atomic<bool> met_too_large_{false};
};

}  // namespace

std::int64_t carried_block_rows(std::int64_t window) {
  std::int64_t rows = 4 * window;
  while (!is_prime(rows)) ++rows;
  return rows;
}

std::int64_t carried_blocks(std::int64_t rows, std::int64_t window, std::int64_t horizon) {
  return blocks_of(rows, window, horizon, carried_block_rows(window));
}

bool chains_are_exact(const KernelChoice& chain, const KernelChoice& exact) {
  return chain.parts == 0 && exact.parts == 0 && chain.precision == exact.precision &&
         chain.kernels == exact.kernels;
}

void check_carried(const ModelParts& model, std::int64_t stride, const char* argument,
                   const char* otherwise) {
  const std::string name = std::string(argument) + ": expected '" + otherwise + "'";
  if (!model.forecasts()) {
    throw UnsupportedError(
        name +
        " for an autoencoder, got 'carried': its decoder starts anew from "
        "every window, so that a carried state saves little and its error is not bounded");
  }
  if (model.encoder->bidirectional()) {
    throw UnsupportedError(
        name +
        " for a model with a bidirectional layer, got 'carried': the "
        "reverse direction of a window starts at its last row, and no other window passes there");
  }
  // A chain takes (W + B) / B steps a row, a window of its own W for every stride-th row.
  const double W = static_cast<double>(model.window);
  if (stride > 1 && 1.25 * static_cast<double>(stride) > 0.6 * W) {
    throw UnsupportedError(
        name + " where stride is above " + std::to_string(static_cast<std::int64_t>(0.48 * W)) +
        " (0.48 times the model's window, " + std::to_string(model.window) +
        "), got 'carried' with stride=" + std::to_string(stride) +
        ": a carried state takes every row, which costs more than the windows themselves");
  }
}

void carried_scores(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    const ScoreOptions& options, const std::vector<BlockId>* blocks, float* out,
                    std::vector<Seam>* seams) {
  const std::int64_t W = plan.window(), K = plan.horizon(), B = carried_block_rows(W);
  const KernelTable& active = active_kernels();
  KernelChoice choice = choose_kernel(active, model, options.precision, options.kernel);
  // A chain takes more steps than a window: too many for coarse gates.
  choice.products = for_many_steps(choice.products);
  const KernelChoice exact = choose_kernel(active, model, Precision::highest, options.kernel);
  const bool next_is_exact = chains_are_exact(choice, exact);
  if (!blocks) {
    fill_with_nan(out, series.rows * (options.per_feature ? model.num_targets() : 1),
                  options.num_threads);
  }

  const auto chain_of = [&](const BlockId& block) {
    const auto g = static_cast<std::size_t>(block.entity);
    const std::int64_t first = plan.offsets()[g], end = plan.offsets()[g + 1];
    Chain chain;
    chain.window_row = first;
    chain.first_row = first + std::max<std::int64_t>(0, block.block * B - W);
    chain.first_target = first + std::max(W, block.block * B);
    chain.end_target = std::min(first + (block.block + 1) * B, end - K + 1);
    return chain;
  };
  const auto has_seam = [&](const BlockId& block) {
    const auto g = static_cast<std::size_t>(block.entity);
    const std::int64_t rows = plan.offsets()[g + 1] - plan.offsets()[g];
    return block.block + 1 < blocks_of(rows, W, K, B);
  };

  // Chains hold addresses of seams, so these are counted first.
  if (seams) {
    seams->clear();
    Blocks all(plan, B, blocks);
    for (BlockId block; all.next(block);) {
      if (!has_seam(block)) continue;
      const auto first = plan.offsets()[static_cast<std::size_t>(block.entity)];
      seams->push_back(
          {block.entity, block.block, first + (block.block + 1) * B + K - 1, kNoScore, kNoScore});
    }
  }

  const ChainScores scores{series, plan.stride(), options.reduction, options.per_feature, out};
  Waves waves(model, choice, scores, W + B, options.num_threads);
  std::vector<std::size_t> apart;  // seams whose exact score no chain gives
  Blocks all(plan, B, blocks);
  std::size_t seam = 0;
  BlockId before{-1, -1};
  bool seam_before = false;  // the block before has a seam
  for (BlockId block; all.next(block); before = block) {
    Chain chain = chain_of(block);
    const bool follows = block.entity == before.entity && block.block == before.block + 1;
    if (seams && seam_before) {
      if (follows && next_is_exact) {
        chain.at_first = &(*seams)[seam - 1].exact;
      } else {
        apart.push_back(seam - 1);
      }
    }
    seam_before = has_seam(block);
    if (seams && seam_before) chain.at_end = &(*seams)[seam++].carried;
    waves.add(chain);
  }
  if (seams && seam_before) apart.push_back(seam - 1);
  waves.run();

  if (!apart.empty()) {
    Waves exact_waves(model, exact, scores, W, options.num_threads);
    for (const std::size_t i : apart) {
      Chain chain;
      chain.end_target = chain.first_target = (*seams)[i].row - K + 1;
      chain.first_row = chain.window_row = chain.end_target - W;
      chain.at_end = &(*seams)[i].exact;
      exact_waves.add(chain);
    }
    exact_waves.run();
  }
  if (!blocks) {
    score_too_large_rows(model, series, plan, options.per_feature, waves.met_too_large(),
                         options.num_threads, out);
  }
}

void younger_scores(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                    const ScoreOptions& options, float* out) {
  const std::int64_t W = plan.window(), K = plan.horizon(), youngest = (W + 1) / 2;
  const std::int64_t B = W - youngest + 1;
  const KernelChoice choice =
      choose_kernel(active_kernels(), model, options.precision, options.kernel);
  const ChainScores scores{series, plan.stride(), options.reduction, false, out};
  Waves waves(model, choice, scores, W, options.num_threads);
  for (std::int64_t g = 0; g < plan.num_entities(); ++g) {
    const auto i = static_cast<std::size_t>(g);
    const std::int64_t first = plan.offsets()[i], end = plan.offsets()[i + 1] - K + 1;
    for (std::int64_t target = first + W; target < end; target += B) {
      Chain chain;
      chain.window_row = first;
      chain.first_row = target - youngest;
      chain.first_target = target;
      chain.end_target = std::min(target + B, end);
      chain.begins_inside = true;
      waves.add(chain);
    }
  }
  waves.run();
}

}  // namespace slidecell
