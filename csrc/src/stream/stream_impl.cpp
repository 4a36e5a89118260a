#include "stream/stream_impl.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/active_kernels.h"
#include "cpu/denormals.h"
#include "cpu/parallel.h"
#include "cpu/threads.h"
#include "score/carried.h"
#include "score/error_sum.h"
#include "score/option_rules.h"
#include "score/scratch.h"
#include "score/tile_runner.h"
#include "score/too_large.h"

namespace slidecell {
namespace {

constexpr float kNoScore = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

SeriesView row_of(const SeriesView& rows, std::int64_t i) {
  SeriesView row = rows;
  row.data = static_cast<const char*>(rows.data) + i * rows.row_stride;
  row.rows = 1;
  return row;
}

// Entities from which whole vectors of them beat one entity's windows as columns. Both give the
// same bits.
std::int64_t least_block_entities(const KernelTable& kernels) {
  return std::max<std::int64_t>(8, kernels.lanes);
}

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

void check_bytes(const ModelParts& model, double needed, std::int64_t num_entities,
                 std::int64_t most) {
  if (most < 1) {
    throw std::invalid_argument("max_bytes: expected at least 1, got " + std::to_string(most));
  }
  if (needed <= static_cast<double>(most)) return;
  char text[240];
  std::snprintf(
      text, sizeof text,
      "max_bytes: expected at least %.0f (%.3g GiB), which %lld entities with window=%lld "
      "take, got %lld (%.3g GiB); give more, or fewer entities",
      needed, needed / kGiB, static_cast<long long>(num_entities),
      static_cast<long long>(model.window), static_cast<long long>(most),
      static_cast<double>(most) / kGiB);
  throw std::invalid_argument(text);
}

std::int64_t block_width(const ModelParts& model, const KernelTable& kernels,
                         std::int64_t num_entities) {
  return std::min(tile_vectors(kernels, model) * kernels.lanes,
                  round_up(num_entities, kernels.lanes));
}

// Chains that take a step together: so few that their states stay in the L1 cache while they become
// columns and rows again.
std::int64_t chains_width(const KernelTable& kernels, std::int64_t num_entities) {
  constexpr std::int64_t kChains = 48;
  const std::int64_t vectors = std::max(kernels.vector_step, kChains / kernels.lanes);
  return std::min(vectors * kernels.lanes, round_up(num_entities, kernels.lanes));
}

}  // namespace

Stream::Impl::Workspace::Workspace(const Impl& stream)
    : head(stream.model, stream.kernels, stream.products),
      errors(stream.model, stream.kernels, stream.options.reduction),
      code(stream.model.encoder->output_size()) {
  if (!stream.blocks && !stream.carried) return;
  const std::int64_t width = stream.width();
  if (stream.blocks) block = std::make_unique<BlockWindows::Workspace>(*stream.blocks);
  if (stream.carried) {
    carried = std::make_unique<CarriedStates::Workspace>(
        *stream.carried, stream.few && streams_bf16(stream.options.precision));
    for (auto* steps : {&own_steps, &next_steps}) steps->reserve(static_cast<std::size_t>(width));
    columns.reserve(static_cast<std::size_t>(width));
  }
  rows.columns.reserve(static_cast<std::size_t>(width));
  rows.n.reserve(static_cast<std::size_t>(width));
  requests.reserve(static_cast<std::size_t>(width));
  states.reserve(static_cast<std::size_t>(width));
  head_columns = std::make_unique<HeadColumns>(stream.kernels, *stream.model.head, width);
  x.reset(stream.model.input_size() * width);
  pred.reset(stream.model.head->rows() * width);
}

Stream::Impl::Impl(std::shared_ptr<const SequenceModel::Impl> owner_, const KernelTable& kernels_,
                   std::int64_t num_entities_, const StreamOptions& options_)
    : owner(std::move(owner_)),
      model(owner->parts),
      kernels(kernels_),
      num_entities(num_entities_),
      options(options_),
      products(products_of(owner->parts, options_.precision)) {
  if (num_entities < 1) {
    throw std::invalid_argument("num_entities: expected at least 1, got " +
                                std::to_string(num_entities));
  }
  // So that no product of sizes below overflows. What memory cannot hold is refused when allocated.
  const std::int64_t most =
      std::numeric_limits<std::int64_t>::max() / 8 / saved_bytes(model, options.mode);
  if (num_entities > most) {
    throw std::invalid_argument("num_entities: expected at most " + std::to_string(most) +
                                " for this model, got " + std::to_string(num_entities));
  }
  if (averages_rows(options.aggregate)) {
    throw std::invalid_argument(
        "aggregate: 'mean' needs rows of the future, which a stream does "
        "not have; expected 'window' or 'last'");
  }
  if (options.aggregate != Aggregate::window && model.forecasts()) {
    throw std::invalid_argument("aggregate: expected 'window' for a forecaster");
  }
  check_reduction(model, options.reduction);
  if (carries(options.mode)) check_carried(model, 1, "mode");
  check_bytes(model, needed_bytes(model, kernels, num_entities, options.mode), num_entities,
              options.max_bytes);
  const Stack& encoder = *model.encoder;
  ring_rows = ring_rows_of(model);
  const auto entities = static_cast<std::size_t>(num_entities);
  few = num_entities < least_block_entities(kernels);
  if (carries(options.mode)) {
    // A chain takes more steps than a window: too many for coarse gates.
    products = for_many_steps(products);
    carried = std::make_unique<CarriedStates>(kernels, encoder, num_entities,
                                              chains_width(kernels, num_entities), products);
    block_rows = carried_block_rows(model.window);
    seams.assign(
        entities * static_cast<std::size_t>(kept_seams(model, options.mode) * model.head->rows()),
        0.0f);
    audits.assign(entities, SeamAudit{});
  } else if (encoder.bidirectional()) {
    recomputed = std::make_unique<RecomputedWindow>(kernels, encoder, model.window, products);
  } else if (few) {
    for (std::int64_t e = 0; e < num_entities; ++e) {
      windows.push_back(std::make_unique<EntityWindows>(kernels, encoder, model.window, products,
                                                        streams_bf16(options.precision)));
    }
  } else {
    blocks = std::make_unique<BlockWindows>(kernels, encoder, model.window, num_entities,
                                            block_width(model, kernels, num_entities), products);
  }
  rows_seen.assign(entities, 0);
  last_missing.assign(entities, kNeverMissing);
  pending.assign(windows.size(), 0);
  ring.assign(entities * static_cast<std::size_t>(ring_rows * model.input_size()), 0.0f);
  predictions.assign(entities * static_cast<std::size_t>(model.horizon * model.head->rows()), 0.0f);
  workspaces.push_back(std::make_unique<Workspace>(*this));
}

// A row that is too large has this score, and no part in others.
float score_of_row(RowState state, float score) {
  return state == kTooLargeRow ? kInfinity : score;
}

// Scales and keeps the row.
Stream::Impl::KeptRow Stream::Impl::read_row(std::int64_t entity, const SeriesView& rows,
                                             std::int64_t row) {
  const auto e = static_cast<std::size_t>(entity);
  const std::int64_t n = rows_seen[e]++;
  RowState state = kWholeRow;
  cast_rows(rows, row, 1, model.scaler(), ring_row(entity, n), model.input_size(), 1, &state);
  if (state != kWholeRow) last_missing[e] = n;
  return {n, state};
}

float Stream::Impl::push(std::int64_t entity, const SeriesView& row) {
  const auto e = static_cast<std::size_t>(entity);
  Workspace& w = *workspaces.front();
  if (blocks || carried) {
    float score = kNoScore;
    w.requests.assign(1, 0);
    w.rows.block = entity / width();
    w.rows.columns.assign(1, entity % width());
    push_round(row, &score, w);
    return score;
  }
  if (!windows.empty() && pending[e]) windows[e]->advance(rows_seen[e] - 1);
  const auto [n, state] = read_row(entity, row, 0);
  const float* code = nullptr;
  if (recomputed) {
    if (n + 1 >= model.window) code = recomputed->code(ring_of(entity), ring_rows, n);
  } else {
    pending[e] = 1;
    code = windows[e]->answer(ring_row(entity, n), n);
  }
  return score_of_row(state, finish(entity, n, code, w));
}

// From the completed window's code (null: none) to the row's score and the kept prediction.
float Stream::Impl::finish(std::int64_t entity, std::int64_t n, const float* code, Workspace& w) {
  if (!model.forecasts()) return score_reconstruction(entity, n, code, w);
  const float score = score_forecast(entity, n, w);
  if (code) keep_prediction(entity, n, w.head.forecast(code), 1);
  return score;
}

// The forecast that was made K rows ago against the K rows since.
float Stream::Impl::score_forecast(std::int64_t entity, std::int64_t n, Workspace& w) {
  if (!complete(entity, n, model.window + model.horizon)) return kNoScore;
  // Of row n - K: the slot is written after this.
  return score_of_forecast(entity, n, prediction(entity, n), w);
}

float Stream::Impl::score_of_forecast(std::int64_t entity, std::int64_t n, const float* pred,
                                      Workspace& w) {
  w.errors.clear();
  for (std::int64_t k = 0; k < model.horizon; ++k) {
    w.errors.add(k, pred + k * model.num_targets(), ring_row(entity, n - model.horizon + 1 + k));
  }
  return score_of(w.errors.mean(model.horizon));
}

float Stream::Impl::score_reconstruction(std::int64_t entity, std::int64_t n, const float* code,
                                         Workspace& w) {
  if (!code || !complete(entity, n, model.window)) return kNoScore;
  const std::int64_t first = first_row(options.aggregate, model.window);
  w.errors.clear();
  w.head.reconstruct(code, first, [&](std::int64_t t, const float* pred) {
    w.errors.add(t, pred, ring_row(entity, n - model.window + 1 + t));
  });
  return score_of(w.errors.mean(model.window - first));
}

void Stream::Impl::keep_prediction(std::int64_t entity, std::int64_t n, const float* pred,
                                   std::ptrdiff_t stride) {
  float* kept = prediction(entity, n);
  for (std::int64_t i = 0; i < model.head->rows(); ++i) kept[i] = pred[i * stride];
}

// One row each for the columns w.rows.columns of a block: request i of `rows` and `scores`.
void Stream::Impl::push_round(const SeriesView& rows, float* scores, Workspace& w) {
  if (carried) return push_carried(rows, scores, w);
  const std::int64_t width = blocks->width(), F = model.input_size();
  const auto count = static_cast<std::int64_t>(w.requests.size());
  w.rows.n.clear();
  w.states.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t entity = w.rows.block * width + w.rows.columns[static_cast<std::size_t>(i)];
    const auto [n, state] = read_row(entity, rows, w.requests[static_cast<std::size_t>(i)]);
    w.rows.n.push_back(n);
    w.states.push_back(state);
    const float* row = ring_row(entity, n);
    for (std::int64_t f = 0; f < F; ++f) w.x.data()[f * width + i] = row[f];
  }
  const float* codes = blocks->push(w.rows, w.x.data(), *w.block);
  if (model.forecasts()) {
    w.head_columns->run(codes, w.pred.data(), ceil_div(count, kernels.lanes));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t entity = w.rows.block * width + w.rows.columns[static_cast<std::size_t>(i)];
    const std::int64_t n = w.rows.n[static_cast<std::size_t>(i)];
    float& score = scores[w.requests[static_cast<std::size_t>(i)]];
    const bool whole = n + 1 >= model.window;
    if (model.forecasts()) {
      score = score_forecast(entity, n, w);
      if (whole) keep_prediction(entity, n, w.pred.data() + i, width);
    } else {
      for (std::int64_t j = 0; j < w.code.size(); ++j) w.code.data()[j] = codes[j * width + i];
      score = score_reconstruction(entity, n, whole ? w.code.data() : nullptr, w);
    }
    score = score_of_row(w.states[static_cast<std::size_t>(i)], score);
  }
}

// The score of the newer state; at a seam, also that of the older one is due.
float Stream::Impl::score_carried(std::int64_t entity, std::int64_t n, Workspace& w) {
  const float score = score_forecast(entity, n, w);
  const std::int64_t target = n - model.horizon + 1;  // the window's first target row
  if (target < block_rows || target % block_rows != 0 || !std::isfinite(score)) return score;
  const std::int64_t block = target / block_rows - 1;
  const float* forecast = kept_seam(entity, block);
  if (!forecast) forecast = w.head.forecast(carried->output({entity, block % 2}));
  const float older = score_of_forecast(entity, n, forecast, w);
  if (!std::isfinite(older)) return score;
  SeamAudit& audit = audits[static_cast<std::size_t>(entity)];
  if (audit.seams++ == 0 || std::abs(older - score) > std::abs(audit.carried - audit.exact)) {
    audit.carried = older;
    audit.exact = score;
  }
  return score;
}

// The steps that row n of an entity brings, in the order of their chains.
void Stream::Impl::add_steps(std::int64_t entity, std::int64_t n, RowState state, Workspace& w) {
  const std::int64_t B = block_rows, W = model.window, block = n / B;
  const CarriedStates::Step own{entity, block % 2}, next{entity, (block + 1) % 2};
  const std::int64_t next_row = (block + 1) * B - W;  // where the next block's chain starts
  if (n == 0) carried->zero(own);
  if (n == next_row) carried->zero(next);
  if (state != kWholeRow) {
    carried->zero(own);
    if (n >= next_row) carried->zero(next);
    return;
  }
  const float* row = ring_row(entity, n);
  const bool last = n + 1 == (block + 1) * B;  // the next block's chain takes over
  float* const ahead = n + 1 >= W ? prediction(entity, n) : nullptr;
  w.own_steps.push_back({own, row, last ? kept_seam(entity, block) : ahead});
  carried->prefetch(own);
  if (n < next_row) return;
  w.next_steps.push_back({next, row, last ? ahead : nullptr});
  carried->prefetch(next);
}

void Stream::Impl::push_carried(const SeriesView& rows, float* scores, Workspace& w) {
  w.own_steps.clear();
  w.next_steps.clear();
  for (std::size_t i = 0; i < w.requests.size(); ++i) {
    const std::int64_t entity = w.rows.block * width() + w.rows.columns[i];
    const auto [n, state] = read_row(entity, rows, w.requests[i]);
    scores[w.requests[i]] = score_of_row(state, score_carried(entity, n, w));
    add_steps(entity, n, state, w);
  }
  run_steps(w.own_steps, w);
  run_steps(w.next_steps, w);
}

// At most width() of them.
void Stream::Impl::run_steps(const std::vector<CarriedStep>& steps, Workspace& w) {
  const std::int64_t width = this->width(), F = model.input_size(), D = model.head->rows();
  const auto count = static_cast<std::int64_t>(steps.size());
  // A step of whole vectors takes as long as a quarter of its lanes one by one.
  if (few || 4 * count <= kernels.lanes) {
    for (const CarriedStep& step : steps) {
      const float* h = carried->step_row(step.step, step.row, *w.carried);
      if (step.forecast) std::copy_n(w.head.forecast(h), D, step.forecast);
    }
    return;
  }
  w.columns.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    const CarriedStep& step = steps[static_cast<std::size_t>(i)];
    w.columns.push_back(step.step);
    for (std::int64_t f = 0; f < F; ++f) w.x.data()[f * width + i] = step.row[f];
  }
  const float* h = carried->step_columns(w.columns.data(), count, w.x.data(), *w.carried);
  // Those of a block that has not begun need none.
  if (std::none_of(steps.begin(), steps.end(), [](const auto& step) { return step.forecast; })) {
    return;
  }
  w.head_columns->run(h, w.pred.data(), ceil_div(count, kernels.lanes));
  for (std::int64_t i = 0; i < count; ++i) {
    float* forecast = steps[static_cast<std::size_t>(i)].forecast;
    for (std::int64_t d = 0; forecast && d < D; ++d) forecast[d] = w.pred.data()[d * width + i];
  }
}

// Requests of one block, in their order: rounds of distinct entities, each in column order.
void Stream::Impl::push_block(std::vector<std::int64_t>& requests,
                              Span<const std::int64_t> entities, const SeriesView& rows,
                              float* scores, float* forecasts, Workspace& w) {
  const std::int64_t width = this->width();
  const auto entity_of = [&](std::int64_t i) { return entities[static_cast<std::size_t>(i)]; };
  w.rows.block = entity_of(requests.front()) / width;
  const auto before = [&](std::int64_t a, std::int64_t b) {
    return std::make_pair(entity_of(a), a) < std::make_pair(entity_of(b), b);
  };
  if (!std::is_sorted(requests.begin(), requests.end(), before)) {
    std::sort(requests.begin(), requests.end(), before);
  }
  // The k-th request of every entity belongs to round k.
  while (!requests.empty()) {
    w.requests.clear();
    w.rows.columns.clear();
    std::size_t kept = 0;
    std::int64_t last = -1;
    for (const std::int64_t i : requests) {
      const std::int64_t column = entity_of(i) % width;
      if (column == last) {
        requests[kept++] = i;
        continue;
      }
      last = column;
      w.requests.push_back(i);
      w.rows.columns.push_back(column);
    }
    requests.resize(kept);
    for (const std::int64_t i : w.requests) {
      if (forecasts) predict_next(entity_of(i), forecasts + i * model.head_size());
    }
    push_round(rows, scores, w);
  }
}

void Stream::Impl::push_many(Span<const std::int64_t> entities, const SeriesView& rows,
                             float* scores, int num_threads, float* forecasts) {
  if (!blocks && !(carried && !few)) {
    const FlushDenormals flush;
    for (std::size_t i = 0; i < entities.size(); ++i) {
      if (forecasts) {
        predict_next(entities[i], forecasts + static_cast<std::int64_t>(i) * model.head_size());
      }
      scores[i] = push(entities[i], row_of(rows, static_cast<std::int64_t>(i)));
    }
    return;
  }
  std::vector<std::vector<std::int64_t>> requests(
      static_cast<std::size_t>(ceil_div(num_entities, width())));
  for (std::size_t i = 0; i < entities.size(); ++i) {
    requests[static_cast<std::size_t>(entities[i] / width())].push_back(
        static_cast<std::int64_t>(i));
  }
  requests.erase(std::remove_if(requests.begin(), requests.end(),
                                [](const auto& block) { return block.empty(); }),
                 requests.end());
  const auto tasks = static_cast<std::int64_t>(requests.size());
  const auto threads = static_cast<std::size_t>(
      std::min<std::int64_t>(resolve_threads(num_threads), std::max<std::int64_t>(1, tasks)));
  while (workspaces.size() < threads) workspaces.push_back(std::make_unique<Workspace>(*this));
  std::atomic<std::size_t> next_workspace{0};
  parallel_for(
      tasks, num_threads, [&] { return workspaces[next_workspace++].get(); },
      [&](Workspace* w, std::int64_t i) {
        push_block(requests[static_cast<std::size_t>(i)], entities, rows, scores, forecasts, *w);
      });
}

void Stream::Impl::predict_next(std::int64_t entity, float* out) const {
  const std::int64_t n = rows_seen[static_cast<std::size_t>(entity)] - 1;
  const bool known = complete(entity, n, model.window);
  const float* pred = known ? prediction(entity, n) : nullptr;
  for (std::int64_t i = 0; i < model.head_size(); ++i) {
    out[i] = known ? model.raw(i % model.num_targets(), pred[i]) : kNoScore;
  }
}

std::int64_t Stream::Impl::ring_rows_of(const ModelParts& model) {
  return model.forecasts() && !model.encoder->bidirectional()
             ? model.horizon
             : std::max(model.window, model.horizon);
}

std::int64_t Stream::Impl::state_size(const ModelParts& model, Windows mode) {
  if (carries(mode)) return 2 * CarriedStates::chain_size(*model.encoder);
  return model.encoder->bidirectional() ? 0 : unfinished_state_size(*model.encoder, model.window);
}

// The chain of a block starts anew B - W rows after its end, for the block after the next.
std::int64_t Stream::Impl::kept_seams(const ModelParts& model, Windows mode) {
  if (!carries(mode)) return 0;
  const std::int64_t block = carried_block_rows(model.window);
  return model.horizon <= block - model.window ? 0 : ceil_div(model.horizon, block);
}

std::int64_t Stream::Impl::saved_bytes(const ModelParts& model, Windows mode) {
  const std::int64_t forecasts = model.horizon + kept_seams(model, mode);
  const std::int64_t floats = ring_rows_of(model) * model.input_size() +
                              forecasts * model.head->rows() + state_size(model, mode);
  return floats * static_cast<std::int64_t>(sizeof(float)) +
         static_cast<std::int64_t>(2 * sizeof(std::int64_t) +
                                   (carries(mode) ? sizeof(SeamAudit) : 0));
}

double Stream::Impl::needed_bytes(const ModelParts& model, const KernelTable& kernels,
                                  std::int64_t num_entities, Windows mode) {
  const Stack& encoder = *model.encoder;
  const std::int64_t kept = ring_rows_of(model) * model.input_size();
  double floats =
      static_cast<double>(num_entities) *
      static_cast<double>(kept + (model.horizon + kept_seams(model, mode)) * model.head->rows());
  double counts = 2 * sizeof(std::int64_t);
  if (carries(mode)) {
    const std::int64_t width = chains_width(kernels, num_entities);
    floats += stack_floats(encoder, width, 1, false) + inner_floats(*model.head, width);
    floats += static_cast<double>(num_entities) * static_cast<double>(state_size(model, mode));
    counts += sizeof(SeamAudit);
  } else if (encoder.bidirectional()) {
    floats += stack_floats(encoder, kernels.lanes, model.window, false);
  } else if (num_entities < least_block_entities(kernels)) {
    const std::int64_t columns = round_up(model.window, kernels.lanes);
    counts += 1;
    floats += static_cast<double>(num_entities) * stack_floats(encoder, columns, 1, false);
  } else {
    const std::int64_t width = block_width(model, kernels, num_entities);
    floats += inner_floats(*model.head, width);
    floats += static_cast<double>(ceil_div(num_entities, width) * width) *
              static_cast<double>(model.window) *
              static_cast<double>(unfinished_state_size(encoder, 2));
  }
  if (model.decoder && model.decoder->bidirectional()) {
    const std::int64_t sequence = model.window * model.decoder->output_size();
    floats += stack_floats(*model.decoder, kernels.lanes, model.window, true) +
              static_cast<double>(sequence);
  }
  return floats * sizeof(float) + static_cast<double>(num_entities) * counts;
}

void Stream::Impl::save_state(std::int64_t entity, float* out) {
  const std::int64_t n = rows_seen[static_cast<std::size_t>(entity)] - 1;
  if (carried) {
    carried->save(entity, out);
  } else if (blocks) {
    blocks->save(entity, n, out);
  } else {
    windows[static_cast<std::size_t>(entity)]->save(n, out);
  }
}

void Stream::Impl::restore_state(std::int64_t entity, const float* in) {
  const FlushDenormals flush;
  const std::int64_t n = rows_seen[static_cast<std::size_t>(entity)] - 1;
  if (carried) {
    carried->restore(entity, in);
  } else if (blocks) {
    blocks->restore(entity, n, in);
  } else {
    windows[static_cast<std::size_t>(entity)]->restore(n, in);
  }
}

void Stream::Impl::take(Impl& other, std::int64_t first) {
  const auto entities =
      static_cast<std::ptrdiff_t>(std::min(num_entities - first, other.num_entities));
  const auto copy = [entities, first, &other, this](auto member) {
    auto &from = other.*member, &to = this->*member;
    const auto each = static_cast<std::ptrdiff_t>(from.size()) / other.num_entities;
    std::copy_n(from.begin(), entities * each, to.begin() + first * each);
  };
  copy(&Impl::rows_seen);
  copy(&Impl::last_missing);
  copy(&Impl::ring);
  copy(&Impl::predictions);
  copy(&Impl::seams);
  copy(&Impl::audits);
  std::vector<float> state(static_cast<std::size_t>(state_size()));
  for (std::int64_t e = 0; e < entities; ++e) {
    const auto place = static_cast<std::size_t>(first + e);
    if (!windows.empty()) pending[place] = 0;
    if (rows_seen[place] == 0) {  // it has no windows yet
      if (!windows.empty()) windows[place]->restart();
    } else if (!state.empty()) {
      other.save_state(e, state.data());
      restore_state(first + e, state.data());
    }
  }
}

std::int64_t Stream::Impl::bytes_per_entity() const {
  if (carried) return saved_bytes(model, options.mode);
  // W slots of states, padded to whole vectors where they are columns of their own.
  const std::int64_t slots = blocks       ? model.window
                             : recomputed ? 0
                                          : round_up(model.window, kernels.lanes);
  const std::int64_t windows_size =
      slots * unfinished_state_size(*model.encoder, 2);  // one unfinished window of W = 2
  return (windows_size + ring_rows * model.input_size() + model.horizon * model.head->rows()) *
             static_cast<std::int64_t>(sizeof(float)) +
         static_cast<std::int64_t>(2 * sizeof(std::int64_t) + (windows.empty() ? 0 : 1));
}

void Stream::Impl::advance() {
  for (std::size_t e = 0; e < windows.size(); ++e) {
    if (!pending[e]) continue;
    windows[e]->advance(rows_seen[e] - 1);
    pending[e] = 0;
  }
}

}  // namespace slidecell
