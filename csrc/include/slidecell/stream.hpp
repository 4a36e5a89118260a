// Live scoring: one row at a time, the same windows as SequenceModel::score and the same bits as
// its float32 kernels (Kernel::fma), exact or carried.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/model.hpp"
#include "slidecell/series.hpp"
#include "slidecell/span.hpp"

namespace slidecell {

enum class Status : std::uint8_t {
  ok,
  unknown_entity,  // not in 0 .. num_entities-1; nothing was changed
  not_a_forecaster,
  null_pointer,  // of the row or the output; nothing was changed
};
SLIDECELL_API const char* status_text(Status status) noexcept;

struct StreamOptions {
  // medium: with few entities the answer's products take their weights as bf16, which halves what
  // has to come from the L2 cache; all other work is as at highest.
  Precision precision = Precision::highest;
  Reduction reduction = Reduction::mse;
  Aggregate aggregate = Aggregate::window;  // autoencoders: window or last
  // A stream that takes more is refused: its size follows from numbers of the model file.
  std::int64_t max_bytes = std::int64_t{1} << 30;
  // carried: the states of SequenceModel::score with Windows::carried, two for each entity instead
  // of W - 1 unfinished windows.
  Windows mode = Windows::exact;
};

// The seams that an entity of a carried stream has passed: the windows that follow a block, scored
// by the block's state at its oldest and by the next one, which is exact (at the highest
// precision). Of entities together: all their seams.
struct SeamAudit {
  std::int64_t seams = 0;  // with finite scores
  // The two scores that lie furthest apart; NaN where there is no seam yet.
  float carried = std::numeric_limits<float>::quiet_NaN();
  float exact = std::numeric_limits<float>::quiet_NaN();
};

// The unfinished windows of one or many entities. A row completes one window and advances W - 1
// others. With few entities a push answers first: it finishes the oldest window, whose recurrent
// sums are ready, and leaves the others to advance() or to the next push.
//
// push, push_many's kernels, advance, predict_next and reset allocate nothing and take no lock. One
// stream is used by one thread at a time; streams of one model may run in parallel.
// A stream keeps the ISA that was active when it was made.
//
// With options.mode carried a push does all that its row brings: one step, or two while the next
// block's state is younger than W rows. advance and set_background have nothing to do.
class SLIDECELL_API Stream {
 public:
  // Throws std::invalid_argument, also where the stream takes more than options.max_bytes.
  Stream(const SequenceModel& model, std::int64_t num_entities, const StreamOptions& options = {});
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  std::int64_t num_entities() const noexcept;
  std::int64_t input_size() const noexcept;
  const std::vector<std::string>& features() const noexcept;  // [F] names, or empty: not known
  std::int64_t rows_seen(
      std::int64_t entity) const noexcept;         // since the start or reset; -1: unknown
  std::int64_t bytes_per_entity() const noexcept;  // of state, rounded up

  // What a push runs: the ISA, how the windows are laid out, the precision of the answer.
  KernelPlan plan() const;

  // row [F], raw where the model has a scaler. score: what SequenceModel::score places at this row,
  // NaN where that is NaN, and infinity for a row that is too large. A row with NaN or infinity is
  // missing.
  Status push(std::int64_t entity, const float* row, float& score) noexcept;
  Status push(std::int64_t entity, const double* row, float& score) noexcept;

  // entities [n], rows [n, F] -> scores [n]; as pushing one by one in order, on several threads.
  // forecasts [n, K, T], unless null: what predict_next writes just before each row. Throws
  // std::invalid_argument before anything is changed.
  void push_many(Span<const std::int64_t> entities, const SeriesView& rows, float* scores,
                 int num_threads = 0, float* forecasts = nullptr);

  // Of a carried stream: how far its scores were from exact ones at the seams between blocks, since
  // the start or the last reset. An exact stream has no seams. Throws std::invalid_argument for an
  // unknown entity.
  SeamAudit audit(std::int64_t entity) const;
  SeamAudit audit() const;  // of all entities

  // Advances the windows that the last pushes left behind.
  void advance() noexcept;

  // true: a helper thread does what advance() does, from the end of each push on; it occupies a
  // core. The next push waits for it. Scores keep their bits. No effect where a push leaves nothing
  // behind (many entities, bidirectional models). Throws std::system_error if no thread can start.
  void set_background(bool on);

  // out [K, T], raw: the forecast of the next K rows, the last pushed row included; NaN before a
  // window is complete and while a missing row is in it.
  Status predict_next(std::int64_t entity, float* out) const noexcept;

  // The entity's next row is its first.
  Status reset(std::int64_t entity) noexcept;

  // Makes room for another number of entities. Those that stay go on bit for bit at the highest
  // precision; those beyond the new number are forgotten. The windows are laid out as in a stream
  // made for that many. Allocates. Throws std::invalid_argument, with nothing changed.
  void resize(std::int64_t num_entities);

  // Writes all state to a file: whole, or not at all. A symbolic link there is replaced by the
  // file. Several may save to one path: the last one stays. Throws IoError.
  void save(const std::string& path);
  // Throws IoError, std::invalid_argument (damaged, or of another model) or UnsupportedError (made
  // with an ISA that this CPU does not have). The stream goes on bit for bit. It takes memory in
  // proportion to the file, whatever max_bytes its options had.
  static Stream load(const SequenceModel& model, const std::string& path);

  // What save() writes to a file and load() reads from it, in memory.
  std::string saved_bytes();
  static Stream from_saved_bytes(const SequenceModel& model, const std::string& saved);

  // One entity's state, for a program that keeps the states itself: what saved_bytes() of a stream
  // of this entity alone returns. Throws std::invalid_argument for an unknown entity.
  std::string state_bytes(std::int64_t entity);
  // Bytes of each such state: 88, and 4 for each float of its rows, forecasts and unfinished
  // windows or, of a carried stream, its two states and its audit. Model and mode determine it.
  std::int64_t state_bytes_size() const noexcept;
  // The entity goes on, bit for bit, where state_bytes() left one of a stream with the same model,
  // options and ISA; its own rows are forgotten. Throws std::invalid_argument (unknown entity;
  // damaged, of another model, of other options or of another ISA) or UnsupportedError (made with
  // an ISA that this CPU does not have), with nothing changed.
  void restore(std::int64_t entity, const std::string& state);

 private:
  struct Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  Status push_row(std::int64_t entity, const SeriesView& row, float& score) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace slidecell
