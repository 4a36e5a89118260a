/* The C interface: load a model file, score a series, watch a live stream. C99.
 *
 * Every function but the getters returns an enum slidecell_status: SLIDECELL_OK, or what went
 * wrong, with the text in slidecell_last_error(); the getters return -1, NULL or NaN for NULL. A
 * call that fails with SLIDECELL_INVALID_ARGUMENT, SLIDECELL_UNKNOWN_ENTITY or
 * SLIDECELL_NOT_A_FORECASTER has changed nothing. No call prints, aborts or throws.
 *
 * Arrays are contiguous and row-major; shapes are written beside them: S rows in time order, F
 * features (the model's input_size), T targets (features that a forecast predicts), K rows that it
 * predicts, W rows of a window, G entities, N windows, n rows that were pushed. Rows are raw,
 * unscaled values where the model carries a scaler. A row with NaN or infinity is a missing row:
 * windows that touch it score NaN. A row with a finite value that float does not hold, scaled, is
 * too large: it scores infinity itself, and the other windows that touch it NaN. A score is a
 * number without unit, higher = more anomalous.
 *
 * Rows are float, or double in the functions that end in _f64. A scaler works on double numbers:
 * give large values, counters for instance, as double. A float has 24 bits, and its rounding is an
 * error of the score.
 *
 * The caller owns all arrays; no call keeps a pointer to them.
 *
 * The C++ interface has more: LSTM and GRU layers outside of models and their training, windows as
 * arrays, rows of other types and layouts. */
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
  SLIDECELL_MEDIUM = 2,  /* score: bfloat16 products where they are faster (AMX; AVX512-BF16, but
                            not on Intel), else as highest; streams of few entities: bfloat16 weights
                            for the answer */
  SLIDECELL_LOW = 3      /* scores and streams: 8-bit recurrent products, for models of tanh or
                            sigmoid and no projection; others run as medium */
};

/* The products that slidecell_score uses. */
enum slidecell_kernel {
  SLIDECELL_AUTOMATIC = 0, /* chosen by a fixed rule; slidecell_model_plan tells */
  SLIDECELL_FMA = 1,       /* float32 multiply-adds: the bits of a stream */
  SLIDECELL_MATRIX = 2     /* bfloat16 products in as many parts as the precision asks for;
                              SLIDECELL_UNSUPPORTED where the CPU or the model has none */
};

enum slidecell_reduction {
  SLIDECELL_MSE = 0,
  SLIDECELL_MAE = 1,
  SLIDECELL_MAHALANOBIS = 2, /* needs a model with error statistics */
  SLIDECELL_NLL = 3,         /* Gaussian negative log likelihood: needs log variances */
  SLIDECELL_CALIBRATED = 4   /* needs error statistics, and a forecaster with a scaler */
};

/* Which errors an autoencoder's score reduces. A forecaster's is always SLIDECELL_WINDOW. */
enum slidecell_aggregate {
  SLIDECELL_WINDOW = 0, /* all of the window, at its last row */
  SLIDECELL_LAST = 1,   /* the window's last row */
  SLIDECELL_MEAN = 2    /* a row's errors in all windows that cover it; not for streams */
};

/* How states begin. */
enum slidecell_windows {
  SLIDECELL_EXACT = 0,  /* every window from zero */
  SLIDECELL_CARRIED = 1 /* one state serves a block of windows: about 1.25 steps a row instead of W;
                           for forecasters without bidirectional layers, stride up to 0.48 W */
};

/* All zeros, or NULL in its place, are the defaults. */
typedef struct slidecell_options {
  int32_t precision;   /* enum slidecell_precision */
  int32_t reduction;   /* enum slidecell_reduction */
  int32_t aggregate;   /* enum slidecell_aggregate */
  int32_t per_feature; /* slidecell_score only: scores [S, T] instead of [S] */
  int64_t stride;      /* slidecell_score only: every stride-th window; 0 or 1: every window */
  int32_t num_threads; /* slidecell_score only; 0: as many as the machine offers */
  int32_t kernel;      /* slidecell_score only: enum slidecell_kernel */
  int64_t max_bytes;   /* streams and monitors only: one that takes more is refused; 0: 1 GiB */
  int32_t windows;     /* enum slidecell_windows */
} slidecell_options;

/* The kernel that a call runs on this machine. */
typedef struct slidecell_plan {
  char isa[32];
  char kernel[96];
  char precision[32]; /* the one that is computed, which may be better than the one asked for */
  int64_t tile;       /* windows per tile */
  int32_t threads;
} slidecell_plan;

/* What a model file says of its scores: which they are, how they are smoothed and judged. */
typedef struct slidecell_decision {
  double threshold;       /* a row raises an alarm above it; NaN: none */
  double ewma_alpha;      /* 0: no exponentially weighted average */
  int64_t moving_average; /* scores that are averaged; 0: none */
  int64_t trailing_mean;  /* rows whose scores are averaged; 0: none */
  int32_t reduction;      /* enum slidecell_reduction; -1: the file does not say */
} slidecell_decision;

/* What slidecell_flag scores all windows with first. */
enum slidecell_speculate {
  SLIDECELL_SPECULATE_AUTOMATIC = 0,  /* by a fixed rule over counts */
  SLIDECELL_SPECULATE_NONE = 1,       /* the exact kernel at once */
  SLIDECELL_SPECULATE_MEDIUM = 2,     /* bfloat16 products */
  SLIDECELL_SPECULATE_LOW = 3,        /* 8-bit products */
  SLIDECELL_SPECULATE_CARRIED = 4,    /* states that are carried through blocks of windows */
  SLIDECELL_SPECULATE_CARRIED_LOW = 5 /* such states by 8-bit products */
};

/* All zeros, or NULL in its place, are the defaults. */
typedef struct slidecell_flag_options {
  int32_t reduction;      /* enum slidecell_reduction */
  int32_t speculate;      /* enum slidecell_speculate */
  int64_t moving_average; /* thresholds judge the mean of so many last finite scores; 0: none */
  int64_t trailing_mean;  /* or of the finite scores among so many last rows; 0: none */
  int64_t stride;         /* every stride-th window; 0 or 1: every window */
  int64_t audit;          /* decisions that are verified; 0: 1024 */
  int32_t certify;        /* 1: a second, younger chain measures every row of carried states */
  int32_t num_threads;    /* 0: as many as the machine offers */
} slidecell_flag_options;

/* How flags were found, and how many may be missing. */
typedef struct slidecell_flag_audit {
  char method[16];      /* "carried", "carried_low", "low", "medium"; "exact": every score is */
  char reasons[480];    /* why another method stepped aside: lines, cut where they are longer */
  int64_t windows;      /* that have a score */
  int64_t exact;        /* of them, whose score is the exact one */
  int64_t seams;        /* measured distances between a cheap and an exact score */
  double seam_p99;      /* 99 % of them are no larger; NaN without seams */
  int64_t whole_blocks; /* computed exactly because their distance was too large */
  int32_t certified;    /* 1: a younger chain measured every row */
  int32_t absolute;     /* 1: distances are differences; 0: those of logarithms */
  int64_t cheap;        /* decisions that rest on cheap scores */
  int64_t verified;     /* of them, a sample computed exactly */
  int64_t wrong;        /* of these, on the wrong side: then all is computed exactly */
  double wrong_at_most; /* alarms that may be missing, at 95 % confidence */
} slidecell_flag_audit;

/* The seams that an entity of a stream with SLIDECELL_CARRIED has passed: the windows that follow a
 * block, scored by the block's state at its oldest and by the next one, which is exact (at
 * SLIDECELL_HIGHEST). */
typedef struct slidecell_seam_audit {
  int64_t seams; /* with finite scores */
  float carried; /* the two scores that lie furthest apart; NaN where there is no seam yet */
  float exact;
} slidecell_seam_audit;

/* What a monitor says of a row. */
typedef struct slidecell_event {
  float score;     /* as slidecell_stream_push */
  int32_t alarm;   /* 1: smoothed > threshold; 0 where the score is NaN */
  double smoothed; /* the score itself without smoothing; NaN where the score is */
} slidecell_event;

/* Immutable: any number of threads may use one model. */
typedef struct slidecell_model slidecell_model;
/* One thread at a time may use a stream; streams of one model may run in parallel. */
typedef struct slidecell_stream slidecell_stream;
/* A stream with the smoothing and the threshold of its model: one thread at a time. */
typedef struct slidecell_monitor slidecell_monitor;

/* "0.2.0". A static string. */
SLIDECELL_API const char* slidecell_version(void);

/* The error text of the last call that failed on this thread; "" if none has failed. It is valid
 * until the next call fails on this thread. Texts longer than 1023 bytes are cut. */
SLIDECELL_API const char* slidecell_last_error(void);

/* ---- instruction sets ---- */

/* Name number `index` of those that this CPU offers, slowest first: "scalar", then "avx2", "avx512"
 * and "amx" on x86-64 or "neon" on AArch64. NULL: there are no more. A static string.
 * For amx a process also needs the operating system's permission, which it is asked for when a
 * model first takes AMX's tiles. Where it refuses, AVX-512 serves; if SLIDECELL_ISA or
 * slidecell_set_isa() named amx, the call fails. */
SLIDECELL_API const char* slidecell_isa(int32_t index);
/* Why this build's instruction set is not available here: "this CPU does not have it". NULL: it is
 * available, or this build does not know the name. A static string. */
SLIDECELL_API const char* slidecell_isa_refusal(const char* name);
/* The one that calls made from now on use: the best, unless the environment variable SLIDECELL_ISA
 * or slidecell_set_isa chose another. *name is a static string. SLIDECELL_UNSUPPORTED if the
 * variable names one that this machine does not have. */
SLIDECELL_API int slidecell_active_isa(const char** name);
SLIDECELL_API int slidecell_set_isa(const char* name);
/* Threads that a call with num_threads = 0 uses. */
SLIDECELL_API int32_t slidecell_default_num_threads(void);
/* 1 once a call of this process ran on fewer threads than it asked for, because the system had no
 * more; its result is the same. Else 0. */
SLIDECELL_API int32_t slidecell_had_fewer_threads(void);

/* ---- model ---- */

/* Loads a model file (.safetensors). *model must be freed by slidecell_model_free; it is NULL on
 * failure. */
SLIDECELL_API int slidecell_model_load(const char* path, slidecell_model** model);
/* NULL is allowed. Streams and monitors of the model live on. */
SLIDECELL_API void slidecell_model_free(slidecell_model* model);

SLIDECELL_API int64_t slidecell_model_input_size(const slidecell_model* model); /* F */
SLIDECELL_API int64_t slidecell_model_window(const slidecell_model* model);     /* W, in rows */
/* K: rows that a forecaster predicts; 0: an autoencoder. */
SLIDECELL_API int64_t slidecell_model_horizon(const slidecell_model* model);
SLIDECELL_API int64_t slidecell_model_num_targets(const slidecell_model* model); /* T */
/* Length of slidecell_encode's rows. */
SLIDECELL_API int64_t slidecell_model_code_size(const slidecell_model* model);
/* The name of feature `index` (0 .. F-1), UTF-8; NULL if the model knows no names, and for any
 * other index. It is valid until the model is freed. */
SLIDECELL_API const char* slidecell_model_feature(const slidecell_model* model, int64_t index);
/* Whose scores the file's smoothing and threshold are for: enum slidecell_reduction; -1: the file
 * does not say. */
SLIDECELL_API int32_t slidecell_model_reduction(const slidecell_model* model);
/* The threshold and smoothing in the file. SLIDECELL_INVALID_ARGUMENT if they are damaged,
 * SLIDECELL_UNSUPPORTED if the threshold is not a fixed number. */
SLIDECELL_API int slidecell_model_decision(const slidecell_model* model,
                                           slidecell_decision* decision);
/* What slidecell_score runs with these options (precision, kernel, num_threads), or NULL. */
SLIDECELL_API int slidecell_model_plan(const slidecell_model* model,
                                       const slidecell_options* options, slidecell_plan* plan);

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
SLIDECELL_API int slidecell_score_f64(const slidecell_model* model, const double* series,
                                      int64_t num_rows, const int64_t* offsets,
                                      int64_t num_entities, const slidecell_options* options,
                                      float* scores);

/* Whether each row's score, or its moving average, lies above its threshold, at a fraction of what
 * slidecell_score takes. Every flag that is raised rests on the scores of slidecell_score, bit for
 * bit; those that are missing are bounded by a sample: slidecell_flag_audit. */
SLIDECELL_API int slidecell_flag(
    const slidecell_model* model, const float* series, /* [S, F] */
    int64_t num_rows,                                  /* S */
    const double* thresholds,                          /* [num_thresholds] */
    int64_t num_thresholds,                            /* 1, G or S; G where both are equal */
    const int64_t* offsets,                /* [G+1], or NULL: all rows are one entity's */
    int64_t num_entities,                  /* G; ignored where offsets is NULL */
    const slidecell_flag_options* options, /* or NULL */
    uint8_t* flagged,                      /* [S] 0 or 1 */
    float* scores,                         /* [S] */
    uint8_t* exact,                        /* [S] 1: the score is the exact one */
    double* margin,                        /* [G], or NULL: twice each entity's largest distance */
    slidecell_flag_audit* audit);          /* or NULL */
SLIDECELL_API int slidecell_flag_f64(const slidecell_model* model, const double* series,
                                     int64_t num_rows, const double* thresholds,
                                     int64_t num_thresholds, const int64_t* offsets,
                                     int64_t num_entities, const slidecell_flag_options* options,
                                     uint8_t* flagged, float* scores, uint8_t* exact,
                                     double* margin, slidecell_flag_audit* audit);

/* ---- windows: what predict and encode answer for ---- */

/* *num_windows: N, the windows of such a series. stride: every stride-th window of an entity; 0 or
 * 1: every window. */
SLIDECELL_API int slidecell_num_windows(const slidecell_model* model, int64_t num_rows,
                                        const int64_t* offsets, int64_t num_entities,
                                        int64_t stride, int64_t* num_windows);
/* starts [N]: the row of the series in which each window begins. Window i is scored at row
 * starts[i] + W + K - 1. */
SLIDECELL_API int slidecell_window_starts(const slidecell_model* model, int64_t num_rows,
                                          const int64_t* offsets, int64_t num_entities,
                                          int64_t stride, int64_t* starts);
/* Predicts every window's targets, in raw units; a window with a missing row predicts NaN. */
SLIDECELL_API int slidecell_predict(const slidecell_model* model, const float* series,
                                    int64_t num_rows, const int64_t* offsets, int64_t num_entities,
                                    int64_t stride, int32_t num_threads,
                                    float* predictions); /* [N, K, T]; autoencoder: [N, W, T] */
SLIDECELL_API int slidecell_predict_f64(const slidecell_model* model, const double* series,
                                        int64_t num_rows, const int64_t* offsets,
                                        int64_t num_entities, int64_t stride, int32_t num_threads,
                                        float* predictions);
/* The natural logarithms of the predictions' variances in raw units. SLIDECELL_INVALID_ARGUMENT if
 * the model predicts none. */
SLIDECELL_API int slidecell_predict_log_variance(const slidecell_model* model, const float* series,
                                                 int64_t num_rows, const int64_t* offsets,
                                                 int64_t num_entities, int64_t stride,
                                                 int32_t num_threads,
                                                 float* log_variances); /* [N, K, T] */
SLIDECELL_API int slidecell_predict_log_variance_f64(const slidecell_model* model,
                                                     const double* series, int64_t num_rows,
                                                     const int64_t* offsets, int64_t num_entities,
                                                     int64_t stride, int32_t num_threads,
                                                     float* log_variances);
/* Writes the encoder's last h of every window. */
SLIDECELL_API int slidecell_encode(const slidecell_model* model, const float* series,
                                   int64_t num_rows, const int64_t* offsets, int64_t num_entities,
                                   int64_t stride, int32_t num_threads,
                                   float* codes); /* [N, code_size] */
SLIDECELL_API int slidecell_encode_f64(const slidecell_model* model, const double* series,
                                       int64_t num_rows, const int64_t* offsets,
                                       int64_t num_entities, int64_t stride, int32_t num_threads,
                                       float* codes);

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
/* Copies what slidecell_stream_save writes to bytes [capacity]. *size: how many bytes that are; the
 * model and the number of entities determine it. bytes = NULL and capacity = 0 ask for *size alone;
 * any other capacity below *size is SLIDECELL_INVALID_ARGUMENT. */
SLIDECELL_API int slidecell_stream_saved_bytes(slidecell_stream* stream, void* bytes,
                                               int64_t capacity, int64_t* size);
/* As slidecell_stream_load, from such bytes. */
SLIDECELL_API int slidecell_stream_from_saved_bytes(const slidecell_model* model, const void* bytes,
                                                    int64_t size, slidecell_stream** stream);
/* Copies one entity's state to bytes [capacity], as slidecell_stream_saved_bytes copies all: for a
 * program that keeps the states itself. *size depends on the model and `windows` alone. */
SLIDECELL_API int slidecell_stream_state_bytes(slidecell_stream* stream, int64_t entity,
                                               void* bytes, int64_t capacity, int64_t* size);
/* The entity goes on, bit for bit, where slidecell_stream_state_bytes left one of a stream with the
 * same model, options and ISA. On failure nothing has changed. A monitor's stream is refused. */
SLIDECELL_API int slidecell_stream_restore(slidecell_stream* stream, int64_t entity,
                                           const void* bytes, int64_t size);
/* NULL is allowed. */
SLIDECELL_API void slidecell_stream_free(slidecell_stream* stream);

SLIDECELL_API int64_t slidecell_stream_num_entities(const slidecell_stream* stream);
SLIDECELL_API int64_t slidecell_stream_input_size(const slidecell_stream* stream); /* F */
/* Rows pushed since the start or the last reset; -1 for an unknown entity. */
SLIDECELL_API int64_t slidecell_stream_rows_seen(const slidecell_stream* stream, int64_t entity);
/* Bytes of state, rounded up. */
SLIDECELL_API int64_t slidecell_stream_bytes_per_entity(const slidecell_stream* stream);
/* What a push runs: the ISA, how the windows are laid out, the precision of the answer. */
SLIDECELL_API int slidecell_stream_plan(const slidecell_stream* stream, slidecell_plan* plan);

/* push, predict_next, advance and reset allocate nothing and take no lock. */

/* Adds the entity's next row. *score: what slidecell_score places at this row. */
SLIDECELL_API int slidecell_stream_push(slidecell_stream* stream, int64_t entity,
                                        const float* row, /* [F] */
                                        float* score);
SLIDECELL_API int slidecell_stream_push_f64(slidecell_stream* stream, int64_t entity,
                                            const double* row, /* [F] */
                                            float* score);
/* Does what slidecell_stream_push does for each row in order, on several threads. */
SLIDECELL_API int slidecell_stream_push_many(
    slidecell_stream* stream, const int64_t* entities, /* [n] */
    const float* rows,                                 /* [n, F] */
    int64_t n, int32_t num_threads,                    /* 0: as many as the machine offers */
    float* scores);                                    /* [n] */
SLIDECELL_API int slidecell_stream_push_many_f64(slidecell_stream* stream, const int64_t* entities,
                                                 const double* rows, int64_t n, int32_t num_threads,
                                                 float* scores);
/* The forecast of the entity's next K rows, the last pushed row included; NaN while the last W rows
 * are not all there. Of forecasters only. */
SLIDECELL_API int slidecell_stream_predict_next(const slidecell_stream* stream, int64_t entity,
                                                float* out); /* [K, T] */
/* How far the scores of a stream with SLIDECELL_CARRIED were from exact ones at the seams between
 * blocks, since the start or the last reset: of one entity, or of all (entity = -1). An exact
 * stream has no seams. */
SLIDECELL_API int slidecell_stream_audit(const slidecell_stream* stream, int64_t entity,
                                         slidecell_seam_audit* audit);
/* A push answers before it has done all work that the row brings. This does the rest, so that the
 * next push need not: call it when there is time. Scores do not depend on it. */
SLIDECELL_API int slidecell_stream_advance(slidecell_stream* stream);
/* on = 1: a helper thread does what slidecell_stream_advance does, from the end of each push on; it
 * occupies a core. SLIDECELL_INTERNAL if no thread can start. */
SLIDECELL_API int slidecell_stream_set_background(slidecell_stream* stream, int32_t on);
/* Forgets the entity's rows: its next row is its first. */
SLIDECELL_API int slidecell_stream_reset(slidecell_stream* stream, int64_t entity);
/* Makes room for another number of entities. Those that stay go on bit for bit at
 * SLIDECELL_HIGHEST; those beyond the new number are forgotten. It allocates; on failure nothing
 * has changed. A monitor's stream is refused. */
SLIDECELL_API int slidecell_stream_resize(slidecell_stream* stream, int64_t num_entities);

/* ---- monitor: a stream that smooths its scores and raises alarms, as the model file says ---- */

/* *monitor must be freed by slidecell_monitor_free; it is NULL on failure. Fails as
 * slidecell_model_decision does: thresholds that move with the scores are Python's. */
SLIDECELL_API int slidecell_monitor_create(const slidecell_model* model, int64_t num_entities,
                                           const slidecell_options* options,
                                           slidecell_monitor** monitor);
/* NULL is allowed. */
SLIDECELL_API void slidecell_monitor_free(slidecell_monitor* monitor);
/* NaN: none, and so no alarms. */
SLIDECELL_API double slidecell_monitor_threshold(const slidecell_monitor* monitor);
/* The monitor's stream, for the getters, advance, set_background and predict_next. It belongs to
 * the monitor: rows are pushed to the monitor alone, and slidecell_stream_free does nothing. */
SLIDECELL_API slidecell_stream* slidecell_monitor_stream(slidecell_monitor* monitor);

/* push and reset allocate nothing and take no lock. */

/* Adds the entity's next row. */
SLIDECELL_API int slidecell_monitor_push(slidecell_monitor* monitor, int64_t entity,
                                         const float* row, /* [F] */
                                         slidecell_event* event);
SLIDECELL_API int slidecell_monitor_push_f64(slidecell_monitor* monitor, int64_t entity,
                                             const double* row, /* [F] */
                                             slidecell_event* event);
/* Forgets the entity's rows and its smoothed score. */
SLIDECELL_API int slidecell_monitor_reset(slidecell_monitor* monitor, int64_t entity);

#ifdef __cplusplus
}
#endif
