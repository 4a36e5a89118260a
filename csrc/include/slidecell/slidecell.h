/* The C interface: load a model file, score a series, score a live stream. C99.
 *
 * Every function but the getters returns an enum slidecell_status: SLIDECELL_OK, or what went
 * wrong, with the text in slidecell_last_error(); the getters return -1 for NULL. A call that fails
 * with SLIDECELL_INVALID_ARGUMENT, SLIDECELL_UNKNOWN_ENTITY or SLIDECELL_NOT_A_FORECASTER has
 * changed nothing. No call prints, aborts or throws.
 *
 * Arrays are contiguous, row-major float32; shapes are written beside them: S rows in time order,
 * F features (the model's input_size), T targets (features that a forecast predicts), G entities, n
 * rows that were pushed. Rows are raw, unscaled values where the model carries a scaler. A row with
 * NaN or infinity is a missing row: windows that touch it score NaN. A score is a number without
 * unit, higher = more anomalous.
 *
 * The caller owns all arrays; no call keeps a pointer to them. */
#pragma once

#include <stdint.h>

#include "slidecell/export.h"

#ifdef __cplusplus
extern "C" {
#endif

enum slidecell_status {
  SLIDECELL_OK = 0,
  SLIDECELL_INVALID_ARGUMENT = 1, /* an argument, or the content of a file */
  SLIDECELL_IO_ERROR = 2,         /* a file that cannot be opened, read or written */
  SLIDECELL_UNSUPPORTED = 3,      /* an instruction set or setting that is not here */
  SLIDECELL_OUT_OF_MEMORY = 4,
  SLIDECELL_UNKNOWN_ENTITY = 5,
  SLIDECELL_NOT_A_FORECASTER = 6,
  SLIDECELL_INTERNAL = 7
};

enum slidecell_precision {
  SLIDECELL_HIGHEST = 0, /* float32 accuracy */
  SLIDECELL_HIGH = 1,    /* score: three bfloat16 products on AMX, else as highest */
  SLIDECELL_MEDIUM = 2   /* score: bfloat16 products (AMX, AVX512-BF16), else as highest;
                            streams of few entities: bfloat16 weights for the answer */
};

enum slidecell_reduction {
  SLIDECELL_MSE = 0,
  SLIDECELL_MAE = 1,
  SLIDECELL_MAHALANOBIS = 2 /* needs a model with error statistics */
};

/* Which errors an autoencoder's score reduces. A forecaster's is always SLIDECELL_WINDOW. */
enum slidecell_aggregate {
  SLIDECELL_WINDOW = 0, /* all of the window, at its last row */
  SLIDECELL_LAST = 1,   /* the window's last row */
  SLIDECELL_MEAN = 2    /* a row's errors in all windows that cover it; not for streams */
};

/* All zeros, or NULL in its place, are the defaults. */
typedef struct slidecell_options {
  int32_t precision;   /* enum slidecell_precision */
  int32_t reduction;   /* enum slidecell_reduction */
  int32_t aggregate;   /* enum slidecell_aggregate */
  int32_t per_feature; /* slidecell_score only: scores [S, T] instead of [S] */
  int64_t stride;      /* slidecell_score only: every stride-th window; 0 or 1: every window */
  int32_t num_threads; /* slidecell_score only; 0: as many as the machine offers */
} slidecell_options;

/* Immutable: any number of threads may use one model. */
typedef struct slidecell_model slidecell_model;
/* One thread at a time may use a stream; streams of one model may run in parallel. */
typedef struct slidecell_stream slidecell_stream;

/* "0.1.0". A static string. */
SLIDECELL_API const char* slidecell_version(void);

/* The error text of the last call that failed on this thread; "" if none has failed. It is valid
 * until the next call fails on this thread. Texts longer than 1023 bytes are cut. */
SLIDECELL_API const char* slidecell_last_error(void);

/* ---- model ---- */

/* Loads a model file (.safetensors). *model must be freed by slidecell_model_free; it is NULL on
 * failure. */
SLIDECELL_API int slidecell_model_load(const char* path, slidecell_model** model);
/* NULL is allowed. Streams of the model live on. */
SLIDECELL_API void slidecell_model_free(slidecell_model* model);

SLIDECELL_API int64_t slidecell_model_input_size(const slidecell_model* model); /* F */
SLIDECELL_API int64_t slidecell_model_window(const slidecell_model* model);     /* W, in rows */
/* K: rows that a forecaster predicts; 0: an autoencoder. */
SLIDECELL_API int64_t slidecell_model_horizon(const slidecell_model* model);
SLIDECELL_API int64_t slidecell_model_num_targets(const slidecell_model* model); /* T */

/* Scores every window of `series`. scores[s] is that of the window that row s completes (a
 * forecaster's: the window before and the K rows up to s), NaN where there is none.
 * Windows never cross from one entity into the next. */
SLIDECELL_API int slidecell_score(
    const slidecell_model* model, const float* series, /* [S, F] */
    int64_t num_rows,                                  /* S */
    const int64_t* offsets,           /* [G+1]: entity g owns rows offsets[g] .. offsets[g+1]-1;
                                         NULL: all rows are one entity's */
    int64_t num_entities,             /* G; ignored where offsets is NULL */
    const slidecell_options* options, /* or NULL */
    float* scores);                   /* [S], or [S, T] with per_feature */

/* ---- stream: one row at a time, the same scores ---- */

/* Makes a stream of entities 0 .. num_entities-1 without rows. *stream must be freed by
 * slidecell_stream_free; it is NULL on failure. */
SLIDECELL_API int slidecell_stream_create(const slidecell_model* model, int64_t num_entities,
                                          const slidecell_options* options,
                                          slidecell_stream** stream);
/* Makes a stream that goes on, bit for bit, where slidecell_stream_save left one of the same model.
 * *stream is NULL on failure. */
SLIDECELL_API int slidecell_stream_load(const slidecell_model* model, const char* path,
                                        slidecell_stream** stream);
/* Writes all state to a file: whole, or not at all. */
SLIDECELL_API int slidecell_stream_save(slidecell_stream* stream, const char* path);
/* NULL is allowed. */
SLIDECELL_API void slidecell_stream_free(slidecell_stream* stream);

SLIDECELL_API int64_t slidecell_stream_num_entities(const slidecell_stream* stream);
/* Rows pushed since the start or the last reset; -1 for an unknown entity. */
SLIDECELL_API int64_t slidecell_stream_rows_seen(const slidecell_stream* stream, int64_t entity);

/* push, predict_next, advance and reset allocate nothing and take no lock. */

/* Adds the entity's next row. *score: what slidecell_score places at this row. */
SLIDECELL_API int slidecell_stream_push(slidecell_stream* stream, int64_t entity,
                                        const float* row, /* [F] */
                                        float* score);
/* Does what slidecell_stream_push does for each row in order, on several threads. */
SLIDECELL_API int slidecell_stream_push_many(
    slidecell_stream* stream, const int64_t* entities, /* [n] */
    const float* rows,                                 /* [n, F] */
    int64_t n, int32_t num_threads,                    /* 0: as many as the machine offers */
    float* scores);                                    /* [n] */
/* The forecast of the entity's next K rows, the last pushed row included; NaN while the last W rows
 * are not all there. Of forecasters only. */
SLIDECELL_API int slidecell_stream_predict_next(const slidecell_stream* stream, int64_t entity,
                                                float* out); /* [K, T] */
/* A push answers before it has done all work that the row brings. This does the rest, so that the
 * next push need not: call it when there is time. Scores do not depend on it. */
SLIDECELL_API int slidecell_stream_advance(slidecell_stream* stream);
/* Forgets the entity's rows: its next row is its first. */
SLIDECELL_API int slidecell_stream_reset(slidecell_stream* stream, int64_t entity);

#ifdef __cplusplus
}
#endif
