#include "slidecell/stream.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/active_kernels.h"
#include "cpu/denormals.h"
#include "cpu/threads.h"
#include "score/option_rules.h"
#include "stream/stream_impl.h"
#include "windows/require_pointer.h"

namespace slidecell {

const char* status_text(Status status) noexcept {
  switch (status) {
    case Status::unknown_entity:
      return "entity: unknown";
    case Status::not_a_forecaster:
      return "predict_next: the model is not a forecaster";
    case Status::null_pointer:
      return "row, out: expected a pointer, got null";
    case Status::ok:
      break;
  }
  return "ok";
}

Stream::Stream(const SequenceModel& model, std::int64_t num_entities, const StreamOptions& options)
    : Stream(std::make_unique<Impl>(model.impl_, active_kernels(), num_entities, options)) {}
Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

std::int64_t Stream::num_entities() const noexcept { return impl_->num_entities; }
std::int64_t Stream::input_size() const noexcept { return impl_->model.input_size(); }

const std::vector<std::string>& Stream::features() const noexcept { return impl_->model.features; }

std::int64_t Stream::rows_seen(std::int64_t entity) const noexcept {
  return impl_->knows(entity) ? impl_->rows_seen[static_cast<std::size_t>(entity)] : -1;
}

KernelPlan Stream::plan() const {
  const bool few = impl_->few && !impl_->recomputed;
  KernelPlan plan;
  plan.isa = impl_->kernels.isa;
  plan.kernel = impl_->carried      ? "carried states"
                : impl_->recomputed ? "windows recomputed"
                : few               ? "oldest window first"
                                    : "blocks of entities";
  const bool bf16 = few && streams_bf16(impl_->options.precision);
  plan.precision = name_of(impl_->products != Products::float32 ? Precision::low
                           : bf16                               ? Precision::medium
                                                                : Precision::highest);
  plan.tile = impl_->recomputed ? 1
              : !few            ? impl_->width()
              : impl_->carried  ? 1
                                : impl_->model.window;
  plan.threads = 1;
  return plan;
}

std::int64_t Stream::bytes_per_entity() const noexcept { return impl_->bytes_per_entity(); }

Status Stream::push(std::int64_t entity, const float* row, float& score) noexcept {
  return push_row(entity, SeriesView(row, 1, input_size()), score);
}

Status Stream::push(std::int64_t entity, const double* row, float& score) noexcept {
  return push_row(entity, SeriesView(row, 1, input_size()), score);
}

Status Stream::push_row(std::int64_t entity, const SeriesView& row, float& score) noexcept {
  if (!impl_->knows(entity)) return Status::unknown_entity;
  if (!row.data) return Status::null_pointer;
  const FlushDenormals flush;
  const Impl::Turn turn(*impl_);
  score = impl_->push(entity, row);
  return Status::ok;
}

void Stream::push_many(Span<const std::int64_t> entities, const SeriesView& rows, float* scores,
                       int num_threads, float* forecasts) {
  resolve_threads(num_threads);  // refuses a negative number, also where one thread serves
  const std::string F = std::to_string(input_size());
  if (rows.cols != input_size() || rows.rows != static_cast<std::int64_t>(entities.size())) {
    throw std::invalid_argument("rows: expected [" + std::to_string(entities.size()) + ", " + F +
                                "] (one row per entity id), got [" + std::to_string(rows.rows) +
                                ", " + std::to_string(rows.cols) + "]");
  }
  require_pointer(entities.data(), rows.rows, "entities");
  require_pointer(rows.data, rows.rows, "rows");
  require_pointer(scores, rows.rows, "scores");
  if (forecasts && !impl_->model.forecasts()) {
    throw std::invalid_argument(status_text(Status::not_a_forecaster));
  }
  for (const std::int64_t entity : entities) {
    if (!impl_->knows(entity)) {
      throw std::invalid_argument("entity: expected 0 to " +
                                  std::to_string(impl_->num_entities - 1) + ", got " +
                                  std::to_string(entity));
    }
  }
  const WithoutPoll whole;  // a stream that stops between two rows has lost its order
  const Impl::Turn turn(*impl_);
  impl_->push_many(entities, rows, scores, num_threads, forecasts);
}

void Stream::advance() noexcept {
  if (impl_->background && !impl_->background->lost()) return impl_->background->wait();
  const FlushDenormals flush;
  impl_->advance();
}

void Stream::set_background(bool on) {
  // A helper that a fork has lost makes place for a new one.
  if (!on || (impl_->background && impl_->background->lost())) {
    impl_->background.reset();  // which lets it finish first
  }
  if (on && !impl_->background && !impl_->windows.empty()) {
    advance();
    impl_->background = std::make_unique<Background>([impl = impl_.get()] { impl->advance(); });
  }
}

SeamAudit Stream::audit(std::int64_t entity) const {
  if (!impl_->knows(entity)) {
    throw std::invalid_argument("entity: expected 0 to " + std::to_string(num_entities() - 1) +
                                ", got " + std::to_string(entity));
  }
  return impl_->carried ? impl_->audits[static_cast<std::size_t>(entity)] : SeamAudit{};
}

SeamAudit Stream::audit() const {
  SeamAudit all;
  for (const SeamAudit& one : impl_->audits) {
    if (one.seams == 0) continue;
    if (all.seams == 0 || std::abs(one.carried - one.exact) > std::abs(all.carried - all.exact)) {
      all.carried = one.carried;
      all.exact = one.exact;
    }
    all.seams += std::min(one.seams, std::numeric_limits<std::int64_t>::max() - all.seams);
  }
  return all;
}

Status Stream::predict_next(std::int64_t entity, float* out) const noexcept {
  if (!impl_->knows(entity)) return Status::unknown_entity;
  if (!impl_->model.forecasts()) return Status::not_a_forecaster;
  if (!out) return Status::null_pointer;
  const FlushDenormals flush;  // as SequenceModel::predict, where a raw value is next to nothing
  impl_->predict_next(entity, out);
  return Status::ok;
}

Status Stream::reset(std::int64_t entity) noexcept {
  if (!impl_->knows(entity)) return Status::unknown_entity;
  if (impl_->background) impl_->background->wait();
  const auto e = static_cast<std::size_t>(entity);
  impl_->rows_seen[e] = 0;
  impl_->last_missing[e] = kNeverMissing;
  if (impl_->carried) impl_->audits[e] = SeamAudit{};
  if (impl_->windows.empty()) return Status::ok;
  impl_->pending[e] = 0;
  impl_->windows[e]->restart();
  return Status::ok;
}

void Stream::resize(std::int64_t num_entities) {
  if (num_entities == impl_->num_entities) return;
  advance();
  auto resized = std::make_unique<Impl>(impl_->owner, impl_->kernels, num_entities, impl_->options);
  resized->take(*impl_, 0);
  const bool background = impl_->background && !impl_->background->lost();
  impl_ = std::move(resized);
  set_background(background);
}

}  // namespace slidecell
