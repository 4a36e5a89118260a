// The C interface over the C++ one: pointers checked, exceptions turned into a status and a text.
#include "slidecell/slidecell.h"

#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "slidecell/error.hpp"
#include "slidecell/model.hpp"
#include "slidecell/stream.hpp"

struct slidecell_model {
  slidecell::SequenceModel model;
};

struct slidecell_stream {
  slidecell::Stream stream;
};

namespace {

// Of fixed size: to report a failure must not fail, nor allocate on a stream's push.
constexpr std::size_t kErrorSize = 1024;
thread_local char last_error[kErrorSize] = "";

int fail(slidecell_status status, const char* text) noexcept {
  std::snprintf(last_error, kErrorSize, "%s", text);
  return status;
}

// Runs the body of a function of the C interface.
template <class Body>
int guarded(Body body) noexcept {
  try {
    body();
    return SLIDECELL_OK;
  } catch (const slidecell::IoError& e) {
    return fail(SLIDECELL_IO_ERROR, e.what());
  } catch (const slidecell::UnsupportedError& e) {
    return fail(SLIDECELL_UNSUPPORTED, e.what());
  } catch (const std::invalid_argument& e) {
    return fail(SLIDECELL_INVALID_ARGUMENT, e.what());
  } catch (const std::bad_alloc&) {
    return fail(SLIDECELL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // a container beyond max_size: memory that nobody has
    return fail(SLIDECELL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return fail(SLIDECELL_INTERNAL, e.what());
  } catch (...) {
    return fail(SLIDECELL_INTERNAL, "unknown error");
  }
}

void require(const void* pointer, const char* name) {
  if (!pointer) throw std::invalid_argument(std::string(name) + ": expected a pointer, got NULL");
}

// An array of n elements may be NULL where n is 0.
void require_array(const void* pointer, std::int64_t n, const char* name, const char* size_name) {
  if (n < 0) {
    throw std::invalid_argument(std::string(size_name) + ": expected 0 or more, got " +
                                std::to_string(n));
  }
  if (n > 0) require(pointer, name);
}

// A value of an enumeration of C may be any number.
template <class To>
To choice(int value, int count, const char* name) {
  if (value < 0 || value >= count) {
    throw std::invalid_argument(std::string(name) + ": expected 0 to " + std::to_string(count - 1) +
                                ", got " + std::to_string(value));
  }
  return static_cast<To>(value);
}

slidecell::ScoreOptions score_options(const slidecell_options* options) {
  slidecell::ScoreOptions out;
  if (!options) return out;
  out.precision = choice<slidecell::Precision>(options->precision, 3, "precision");
  out.reduction = choice<slidecell::Reduction>(options->reduction, 3, "reduction");
  out.aggregate = choice<slidecell::Aggregate>(options->aggregate, 3, "aggregate");
  out.per_feature = options->per_feature != 0;
  if (options->stride != 0) out.stride = options->stride;
  out.num_threads = options->num_threads;
  return out;
}

slidecell::StreamOptions stream_options(const slidecell_options* options) {
  const slidecell::ScoreOptions given = score_options(options);
  if (given.per_feature || given.stride != 1) {
    throw std::invalid_argument(
        "options: a stream scores every window as one number; expected per_feature=0 and stride 0 "
        "or 1");
  }
  return {given.precision, given.reduction, given.aggregate};
}

// A status of the stream's own, which brings no text: these calls neither throw nor allocate.
int report(const slidecell_stream& stream, slidecell::Status status, std::int64_t entity) noexcept {
  switch (status) {
    case slidecell::Status::ok:
      return SLIDECELL_OK;
    case slidecell::Status::unknown_entity:
      std::snprintf(last_error, kErrorSize, "entity: expected 0 to %lld, got %lld",
                    static_cast<long long>(stream.stream.num_entities() - 1),
                    static_cast<long long>(entity));
      return SLIDECELL_UNKNOWN_ENTITY;
    case slidecell::Status::not_a_forecaster:
      return fail(SLIDECELL_NOT_A_FORECASTER, slidecell::status_text(status));
  }
  return fail(SLIDECELL_INTERNAL, slidecell::status_text(status));
}

int null_argument(const char* text) noexcept { return fail(SLIDECELL_INVALID_ARGUMENT, text); }

constexpr const char* kNoStream = "stream: expected a pointer, got NULL";

}  // namespace

const char* slidecell_version(void) { return SLIDECELL_VERSION; }

const char* slidecell_last_error(void) { return last_error; }

int slidecell_model_load(const char* path, slidecell_model** model) {
  return guarded([&] {
    require(model, "model");
    *model = nullptr;
    require(path, "path");
    *model = new slidecell_model{slidecell::SequenceModel::load(path)};
  });
}

void slidecell_model_free(slidecell_model* model) { delete model; }

int64_t slidecell_model_input_size(const slidecell_model* model) {
  return model ? model->model.input_size() : -1;
}
int64_t slidecell_model_window(const slidecell_model* model) {
  return model ? model->model.window() : -1;
}
int64_t slidecell_model_horizon(const slidecell_model* model) {
  return model ? model->model.horizon() : -1;
}
int64_t slidecell_model_num_targets(const slidecell_model* model) {
  return model ? model->model.num_targets() : -1;
}

int slidecell_score(const slidecell_model* model, const float* series, int64_t num_rows,
                    const int64_t* offsets, int64_t num_entities, const slidecell_options* options,
                    float* scores) {
  return guarded([&] {
    require(model, "model");
    require_array(series, num_rows, "series", "num_rows");
    require_array(scores, num_rows, "scores", "num_rows");
    slidecell::Span<const std::int64_t> bounds;
    if (offsets) {
      require_array(offsets, num_entities, "offsets", "num_entities");
      bounds = {offsets, static_cast<std::size_t>(num_entities) + 1};
    }
    const slidecell::SeriesView view(series, num_rows, model->model.input_size());
    model->model.score(view, bounds, scores, score_options(options));
  });
}

int slidecell_stream_create(const slidecell_model* model, int64_t num_entities,
                            const slidecell_options* options, slidecell_stream** stream) {
  return guarded([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    *stream = new slidecell_stream{
        slidecell::Stream(model->model, num_entities, stream_options(options))};
  });
}

int slidecell_stream_load(const slidecell_model* model, const char* path,
                          slidecell_stream** stream) {
  return guarded([&] {
    require(stream, "stream");
    *stream = nullptr;
    require(model, "model");
    require(path, "path");
    *stream = new slidecell_stream{slidecell::Stream::load(model->model, path)};
  });
}

int slidecell_stream_save(slidecell_stream* stream, const char* path) {
  return guarded([&] {
    require(stream, "stream");
    require(path, "path");
    stream->stream.save(path);
  });
}

void slidecell_stream_free(slidecell_stream* stream) { delete stream; }

int64_t slidecell_stream_num_entities(const slidecell_stream* stream) {
  return stream ? stream->stream.num_entities() : -1;
}

int64_t slidecell_stream_rows_seen(const slidecell_stream* stream, int64_t entity) {
  return stream ? stream->stream.rows_seen(entity) : -1;
}

int slidecell_stream_push(slidecell_stream* stream, int64_t entity, const float* row,
                          float* score) {
  if (!stream) return null_argument(kNoStream);
  if (!row) return null_argument("row: expected a pointer, got NULL");
  if (!score) return null_argument("score: expected a pointer, got NULL");
  return report(*stream, stream->stream.push(entity, row, *score), entity);
}

int slidecell_stream_push_many(slidecell_stream* stream, const int64_t* entities, const float* rows,
                               int64_t n, int32_t num_threads, float* scores) {
  if (!stream) return null_argument(kNoStream);
  // The C++ call names an unknown entity by an exception; in C it has a status of its own.
  for (int64_t i = 0; entities && i < n; ++i) {
    if (entities[i] < 0 || entities[i] >= stream->stream.num_entities()) {
      return report(*stream, slidecell::Status::unknown_entity, entities[i]);
    }
  }
  return guarded([&] {
    require_array(entities, n, "entities", "n");
    require_array(rows, n, "rows", "n");
    require_array(scores, n, "scores", "n");
    const slidecell::SeriesView view(rows, n, stream->stream.input_size());
    stream->stream.push_many({entities, static_cast<std::size_t>(n)}, view, scores, num_threads);
  });
}

int slidecell_stream_predict_next(const slidecell_stream* stream, int64_t entity, float* out) {
  if (!stream) return null_argument(kNoStream);
  if (!out) return null_argument("out: expected a pointer, got NULL");
  return report(*stream, stream->stream.predict_next(entity, out), entity);
}

int slidecell_stream_advance(slidecell_stream* stream) {
  if (!stream) return null_argument(kNoStream);
  stream->stream.advance();
  return SLIDECELL_OK;
}

int slidecell_stream_reset(slidecell_stream* stream, int64_t entity) {
  if (!stream) return null_argument(kNoStream);
  return report(*stream, stream->stream.reset(entity), entity);
}
