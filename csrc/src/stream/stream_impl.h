// A stream's bookkeeping per entity, and the unfinished windows behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_impl.h"
#include "slidecell/stream.hpp"
#include "stream/background.h"
#include "stream/block_windows.h"
#include "stream/carried_states.h"
#include "stream/entity_windows.h"
#include "stream/recomputed_window.h"
#include "stream/row_head.h"

namespace slidecell {

// Hidden, though a member of an exported class: no part of the library's interface.
// In last_missing: no row was missing, or too large.
constexpr std::int64_t kNeverMissing = -1;

struct [[gnu::visibility("hidden")]] Stream::Impl {
  Impl(std::shared_ptr<const SequenceModel::Impl> owner, const KernelTable& kernels,
       std::int64_t num_entities, const StreamOptions& options);

  bool knows(std::int64_t entity) const { return entity >= 0 && entity < num_entities; }
  float push(std::int64_t entity, const SeriesView& row);  // row [1, F]
  // forecasts: null, or [n, K, T].
  void push_many(Span<const std::int64_t> entities, const SeriesView& rows, float* scores,
                 int num_threads, float* forecasts);
  // out [K, T]: see Stream::predict_next.
  void predict_next(std::int64_t entity, float* out) const;
  void advance();

  std::int64_t bytes_per_entity() const;

  // What an entity's unfinished windows hold after its last row, as EntityWindows::save says, or
  // its two chains.
  std::int64_t state_size() const { return state_size(model, options.mode); }
  void save_state(std::int64_t entity, float* out);
  void restore_state(std::int64_t entity, const float* in);
  // Goes on with the entities of another stream of this model as the entities from `first` on, as
  // many as both have.
  void take(Impl& other, std::int64_t first);

  // What an entity of any stream of `model` takes.
  static std::int64_t ring_rows_of(const ModelParts& model);
  static std::int64_t state_size(const ModelParts& model, Windows mode);
  static std::int64_t saved_bytes(const ModelParts& model, Windows mode);
  // Seams whose older state's forecast is kept until all targets are there. 0: of none, because a
  // chain stands where its block ended until they are there (or the stream is an exact one).
  static std::int64_t kept_seams(const ModelParts& model, Windows mode);
  // What a stream of so many entities takes. As double: sizes from a file may overflow an integer.
  static double needed_bytes(const ModelParts& model, const KernelTable& kernels,
                             std::int64_t num_entities, Windows mode);

  // A step of a chain, and where the forecast goes that follows it.
  struct CarriedStep {
    CarriedStates::Step step;
    const float* row;  // [F]
    float* forecast;   // null: none
  };

  // One thread's buffers: what a push needs beyond the entity's own.
  struct Workspace {
    Workspace(const Impl& stream);
    RowHead head;
    RowErrors errors;
    std::unique_ptr<BlockWindows::Workspace> block;
    BlockRows rows;
    std::vector<std::int64_t> requests;  // of the round, in the order of rows.columns
    std::vector<RowState> states;        // of the requests' rows
    std::unique_ptr<HeadColumns> head_columns;
    AlignedFloats x, pred;  // [F][width], [head rows][width]
    AlignedFloats code;     // [code]
    std::unique_ptr<CarriedStates::Workspace> carried;
    std::vector<CarriedStep> own_steps, next_steps;  // of the round: of this block and the next
    std::vector<CarriedStates::Step> columns;
  };

  // A call that pushes: after the helper thread's work for the last one, before that for this one.
  class Turn {
   public:
    explicit Turn(const Impl& stream) : background_(stream.background.get()) {
      if (background_) background_->wait();
    }
    ~Turn() {
      if (background_) background_->start();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Background* background_;
  };

  std::shared_ptr<const SequenceModel::Impl> owner;
  const ModelParts& model;
  const KernelTable& kernels;
  std::int64_t num_entities;
  StreamOptions options;
  Products products;       // of h
  std::int64_t ring_rows;  // rows kept per entity

  // Exactly one of the four holds the windows.
  std::vector<std::unique_ptr<EntityWindows>> windows;  // few entities: answers first
  std::unique_ptr<BlockWindows> blocks;                 // many
  std::unique_ptr<RecomputedWindow> recomputed;         // bidirectional: from the kept rows
  std::unique_ptr<CarriedStates> carried;               // options.mode
  std::int64_t block_rows = 0;                          // carried: B
  bool few = false;                                     // entities: rows, not columns

  std::vector<std::int64_t> rows_seen, last_missing;  // [entities]
  std::vector<char> pending;                          // [windows] advance is due
  std::vector<float> ring;                            // [entities][ring_rows][F], scaled
  std::vector<float> predictions;                     // [entities][K][K*T]: of the last K rows
  std::vector<float> seams;  // carried: [entities][kept_seams][K*T], the older state's forecasts
  std::vector<SeamAudit> audits;  // carried: [entities]
  std::vector<std::unique_ptr<Workspace>> workspaces;

  std::unique_ptr<Background> background;  // advances `windows`; stopped before they go

  float* ring_of(std::int64_t entity) {
    return ring.data() + entity * ring_rows * model.input_size();
  }
  float* ring_row(std::int64_t entity, std::int64_t n) {
    return ring_of(entity) + n % ring_rows * model.input_size();
  }
  float* prediction(std::int64_t entity, std::int64_t n) {
    return predictions.data() + (entity * model.horizon + n % model.horizon) * model.head->rows();
  }
  const float* prediction(std::int64_t entity, std::int64_t n) const {
    return predictions.data() + (entity * model.horizon + n % model.horizon) * model.head->rows();
  }
  // Where the forecast of the state that block `block` ends with is kept; null: nowhere.
  float* kept_seam(std::int64_t entity, std::int64_t block) {
    const std::int64_t slots = kept_seams(model, options.mode);
    return slots == 0 ? nullptr
                      : seams.data() + (entity * slots + block % slots) * model.head->rows();
  }
  // Entities whose rows are pushed together.
  std::int64_t width() const { return carried ? carried->width() : blocks->width(); }
  // True if the last `rows` rows up to row n exist and none of them is missing or too large.
  bool complete(std::int64_t entity, std::int64_t n, std::int64_t rows) const {
    const auto e = static_cast<std::size_t>(entity);
    return n + 1 >= rows && last_missing[e] <= n - rows;
  }

 private:
  struct KeptRow {
    std::int64_t n;  // its number
    RowState state;
  };
  KeptRow read_row(std::int64_t entity, const SeriesView& rows, std::int64_t row);
  float score_forecast(std::int64_t entity, std::int64_t n, Workspace& w);
  float score_of_forecast(std::int64_t entity, std::int64_t n, const float* pred, Workspace& w);
  float score_carried(std::int64_t entity, std::int64_t n, Workspace& w);
  float score_reconstruction(std::int64_t entity, std::int64_t n, const float* code, Workspace& w);
  float finish(std::int64_t entity, std::int64_t n, const float* code, Workspace& w);
  void keep_prediction(std::int64_t entity, std::int64_t n, const float* pred,
                       std::ptrdiff_t stride);
  void push_block(std::vector<std::int64_t>& requests, Span<const std::int64_t> entities,
                  const SeriesView& rows, float* scores, float* forecasts, Workspace& w);
  void push_round(const SeriesView& rows, float* scores, Workspace& w);
  void push_carried(const SeriesView& rows, float* scores, Workspace& w);
  void add_steps(std::int64_t entity, std::int64_t n, RowState state, Workspace& w);
  void run_steps(const std::vector<CarriedStep>& steps, Workspace& w);
};

}  // namespace slidecell
