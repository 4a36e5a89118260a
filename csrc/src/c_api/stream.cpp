// Streams of the C interface.
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "c_api/errors.h"
#include "c_api/handles.h"

namespace {

using slidecell::Stream;
using namespace slidecell::c_api;

constexpr const char* kNoStream = "stream: expected a pointer, got NULL";
constexpr const char* kNoRow = "row: expected a pointer, got NULL";
constexpr const char* kNoScore = "score: expected a pointer, got NULL";
constexpr const char* kNoOut = "out: expected a pointer, got NULL";

slidecell_stream* new_stream(Stream stream) {
  auto owned = std::make_unique<Stream>(std::move(stream));
  Stream* const it = owned.get();
  return new slidecell_stream{std::move(owned), it};
}

template <class T>
int push(slidecell_stream* stream, int64_t entity, const T* row, float* score) noexcept {
  if (!stream) return null_argument(kNoStream);
  if (!row) return null_argument(kNoRow);
  if (!score) return null_argument(kNoScore);
  return report(*stream->stream, stream->stream->push(entity, row, *score), entity);
}

template <class T>
int push_many(slidecell_stream* stream, const int64_t* entities, const T* rows, int64_t n,
              int32_t num_threads, float* scores) noexcept {
  if (!stream) return null_argument(kNoStream);
  // The C++ call names an unknown entity by an exception; in C it has a status of its own.
  for (int64_t i = 0; entities && i < n; ++i) {
    if (entities[i] < 0 || entities[i] >= stream->stream->num_entities()) {
      return report(*stream->stream, slidecell::Status::unknown_entity, entities[i]);
    }
  }
  return guarded([&] {
    require_array(entities, n, "entities", "n");
    require_array(rows, n, "rows", "n");
    require_array(scores, n, "scores", "n");
    stream->stream->push_many({entities, static_cast<std::size_t>(n)},
                              rows_view(rows, n, stream->stream->input_size()), scores,
                              num_threads);
  });
}

// Copies a state to bytes [capacity]; *size: how many bytes it has.
void copy_out(const std::string& state, void* bytes, int64_t capacity, int64_t* size) {
  *size = static_cast<int64_t>(state.size());
  if (capacity == 0 && !bytes) return;
  if (capacity < *size) {
    throw std::invalid_argument("capacity: expected at least " + std::to_string(*size) +
                                " bytes, got " + std::to_string(capacity));
  }
  std::memcpy(bytes, state.data(), state.size());
}

std::string copy_in(const void* bytes, int64_t size) {
  return size > 0 ? std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))
                  : std::string();
}

bool knows(const Stream& stream, int64_t entity) {
  return entity >= 0 && entity < stream.num_entities();
}

// `kept`: what of a monitor the call would not change with it.
void require_owned(const slidecell_stream* stream, const std::string& kept) {
  if (stream->owned) return;
  throw std::invalid_argument(
      "stream: expected one of slidecell_stream_create or slidecell_stream_load, got a monitor's, "
      "whose " +
      kept);
}

}  // namespace

int slidecell_stream_create(const slidecell_model* model, int64_t num_entities,
                            const slidecell_options* options, slidecell_stream** stream) {
  return guarded([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    *stream = new_stream(Stream(model->model, num_entities, stream_options(options)));
  });
}

int slidecell_stream_load(const slidecell_model* model, const char* path,
                          slidecell_stream** stream) {
  return guarded([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    require(path, "path");
    *stream = new_stream(Stream::load(model->model, path));
  });
}

int slidecell_stream_save(slidecell_stream* stream, const char* path) {
  return guarded([&] {
    require(stream, "stream");
    require(path, "path");
    stream->stream->save(path);
  });
}

int slidecell_stream_saved_bytes(slidecell_stream* stream, void* bytes, int64_t capacity,
                                 int64_t* size) {
  return guarded([&] {
    require(stream, "stream");
    require(size, "size");
    require_array(bytes, capacity, "bytes", "capacity");
    copy_out(stream->stream->saved_bytes(), bytes, capacity, size);
  });
}

int slidecell_stream_from_saved_bytes(const slidecell_model* model, const void* bytes, int64_t size,
                                      slidecell_stream** stream) {
  return guarded([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    require_array(bytes, size, "bytes", "size");
    *stream = new_stream(Stream::from_saved_bytes(model->model, copy_in(bytes, size)));
  });
}

int slidecell_stream_state_bytes(slidecell_stream* stream, int64_t entity, void* bytes,
                                 int64_t capacity, int64_t* size) {
  if (stream && !knows(*stream->stream, entity)) {
    return report(*stream->stream, slidecell::Status::unknown_entity, entity);
  }
  return guarded([&] {
    require(stream, "stream");
    require(size, "size");
    require_array(bytes, capacity, "bytes", "capacity");
    copy_out(stream->stream->state_bytes(entity), bytes, capacity, size);
  });
}

int slidecell_stream_restore(slidecell_stream* stream, int64_t entity, const void* bytes,
                             int64_t size) {
  if (stream && !knows(*stream->stream, entity)) {
    return report(*stream->stream, slidecell::Status::unknown_entity, entity);
  }
  return guarded([&] {
    require(stream, "stream");
    require_owned(stream, "smoothing would not go on from there");
    require_array(bytes, size, "bytes", "size");
    stream->stream->restore(entity, copy_in(bytes, size));
  });
}

void slidecell_stream_free(slidecell_stream* stream) {
  if (stream && stream->owned) delete stream;
}

int64_t slidecell_stream_num_entities(const slidecell_stream* stream) {
  return stream ? stream->stream->num_entities() : -1;
}
int64_t slidecell_stream_input_size(const slidecell_stream* stream) {
  return stream ? stream->stream->input_size() : -1;
}
int64_t slidecell_stream_rows_seen(const slidecell_stream* stream, int64_t entity) {
  return stream ? stream->stream->rows_seen(entity) : -1;
}
int64_t slidecell_stream_bytes_per_entity(const slidecell_stream* stream) {
  return stream ? stream->stream->bytes_per_entity() : -1;
}

int slidecell_stream_plan(const slidecell_stream* stream, slidecell_plan* plan) {
  return guarded([&] {
    require(stream, "stream");
    require(plan, "plan");
    write_plan(stream->stream->plan(), plan);
  });
}

int slidecell_stream_push(slidecell_stream* stream, int64_t entity, const float* row,
                          float* score) {
  return push(stream, entity, row, score);
}
int slidecell_stream_push_f64(slidecell_stream* stream, int64_t entity, const double* row,
                              float* score) {
  return push(stream, entity, row, score);
}

int slidecell_stream_push_many(slidecell_stream* stream, const int64_t* entities, const float* rows,
                               int64_t n, int32_t num_threads, float* scores) {
  return push_many(stream, entities, rows, n, num_threads, scores);
}
int slidecell_stream_push_many_f64(slidecell_stream* stream, const int64_t* entities,
                                   const double* rows, int64_t n, int32_t num_threads,
                                   float* scores) {
  return push_many(stream, entities, rows, n, num_threads, scores);
}

int slidecell_stream_predict_next(const slidecell_stream* stream, int64_t entity, float* out) {
  if (!stream) return null_argument(kNoStream);
  if (!out) return null_argument(kNoOut);
  return report(*stream->stream, stream->stream->predict_next(entity, out), entity);
}

int slidecell_stream_audit(const slidecell_stream* stream, int64_t entity, slidecell_audit* audit) {
  return guarded([&] {
    require(stream, "stream");
    require(audit, "audit");
    const slidecell::SeamAudit found =
        entity == -1 ? stream->stream->audit() : stream->stream->audit(entity);
    *audit = {found.seams, found.carried, found.exact};
  });
}

int slidecell_stream_advance(slidecell_stream* stream) {
  if (!stream) return null_argument(kNoStream);
  stream->stream->advance();
  return SLIDECELL_OK;
}

int slidecell_stream_set_background(slidecell_stream* stream, int32_t on) {
  return guarded([&] {
    require(stream, "stream");
    stream->stream->set_background(on != 0);
  });
}

int slidecell_stream_reset(slidecell_stream* stream, int64_t entity) {
  if (!stream) return null_argument(kNoStream);
  return report(*stream->stream, stream->stream->reset(entity), entity);
}

int slidecell_stream_resize(slidecell_stream* stream, int64_t num_entities) {
  return guarded([&] {
    require(stream, "stream");
    require_owned(stream, "entities are fixed");
    stream->stream->resize(num_entities);
  });
}
