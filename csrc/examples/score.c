/* Scores rows from stdin through the C interface:
 *   slidecell_score_c MODEL [--live | --alarms] < rows.csv
 *
 * A line is a row: numbers with commas between them, an empty field or "nan" for a missing value. A
 * blank line between rows is a row without a value. A first line without any number is the names of
 * the columns: where the model knows its features' names, the others (times, entities, labels) are
 * skipped. Prints a score per row, "nan" where it has none: after the last row, or with --live
 * after each row. --alarms: after each row the score, the smoothed score and 1 for an alarm or 0,
 * as the model file's smoothing and threshold say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slidecell/slidecell.h"

enum { LINE_SIZE = 1 << 16, MAX_FIELDS = LINE_SIZE };

/* Which field of a line each feature is. */
struct columns {
  int64_t* field; /* [F] */
  int64_t F, num_fields;
};

struct series {
  double* values; /* [num_rows, F] */
  int64_t num_rows, capacity;
};

/* Where the scores of live rows come from: one of the two is NULL, or both. */
struct live {
  slidecell_stream* stream;
  slidecell_monitor* monitor;
};

static const char* const kSpace = " \t\r\n";
static const char* const kMark = "\xEF\xBB\xBF"; /* of UTF-8: some programs write it first */

/* Cuts a line at its commas; returns the number of fields, without spaces and quotes around. */
static int64_t split(char* line, char** fields) {
  int64_t n = 0;
  char* at = line;
  for (;;) {
    char* const comma = strchr(at, ',');
    char* end = comma ? comma : at + strlen(at);
    char* const next = end + 1;
    while (at < end && strchr(kSpace, *at)) ++at;
    while (end > at && strchr(kSpace, end[-1])) --end;
    if (end - at > 1 && *at == '"' && end[-1] == '"') {
      ++at;
      --end;
    }
    *end = '\0';
    fields[n++] = at;
    if (!comma) return n;
    at = next;
  }
}

static int is_number(const char* text) {
  char* end = NULL;
  strtod(text, &end);
  return end != text && *end == '\0';
}

/* Digits that double cannot hold would be read as infinity, which is a missing value. */
static int is_beyond_double(const char* text) {
  const double value = strtod(text, NULL);
  return (value == HUGE_VAL || value == -HUGE_VAL) && strpbrk(text, "0123456789");
}

static int is_header(char** fields, int64_t n) {
  int64_t i;
  for (i = 0; i < n; ++i) {
    if (fields[i][0] == '\0' || is_number(fields[i])) return 0;
  }
  return 1;
}

/* The columns of a file with a header, by the model's names; without names in their order. */
static int match_names(const slidecell_model* model, char** fields, int64_t n,
                       struct columns* columns) {
  int64_t f, i;
  if (!slidecell_model_feature(model, 0)) return 1;
  columns->num_fields = n;
  for (f = 0; f < columns->F; ++f) {
    const char* const name = slidecell_model_feature(model, f);
    for (i = 0; i < n && strcmp(fields[i], name) != 0; ++i) {
    }
    if (i == n) {
      fprintf(stderr, "line 1: expected the model's feature '%s' among the columns\n", name);
      return 0;
    }
    columns->field[f] = i;
  }
  return 1;
}

/* Reads one row [F]; 0 and a message if the line is anything else. */
static int read_row(const struct columns* columns, char** fields, int64_t n, int64_t line,
                    double* row) {
  int64_t f;
  if (n != columns->num_fields) {
    fprintf(stderr, "line %lld: expected %lld values, got %lld\n", (long long)line,
            (long long)columns->num_fields, (long long)n);
    return 0;
  }
  for (f = 0; f < columns->F; ++f) {
    const char* const text = fields[columns->field[f]];
    if (text[0] != '\0' && (!is_number(text) || is_beyond_double(text))) {
      fprintf(stderr, "line %lld: value %lld: expected a number, got '%s'\n", (long long)line,
              (long long)columns->field[f] + 1, text);
      return 0;
    }
    row[f] = strtod(text[0] == '\0' ? "nan" : text, NULL);
  }
  return 1;
}

static int append(struct series* series, const double* row, int64_t F) {
  if (series->num_rows == series->capacity) {
    const int64_t capacity = series->capacity > 0 ? 2 * series->capacity : 1024;
    double* grown = realloc(series->values, (size_t)(capacity * F) * sizeof *grown);
    if (!grown) {
      fprintf(stderr, "out of memory\n");
      return 0;
    }
    series->values = grown;
    series->capacity = capacity;
  }
  memcpy(series->values + series->num_rows * F, row, (size_t)F * sizeof *row);
  ++series->num_rows;
  return 1;
}

/* Scores a live row and prints the answer at once. */
static int answer(const struct live* live, const double* row, int64_t line) {
  int status, written;
  if (live->monitor) {
    slidecell_event event;
    status = slidecell_monitor_push_f64(live->monitor, 0, row, &event);
    written = status == SLIDECELL_OK
                  ? printf("%.9g,%.9g,%d\n", (double)event.score, event.smoothed, (int)event.alarm)
                  : 0;
  } else {
    float score = 0.0f;
    status = slidecell_stream_push_f64(live->stream, 0, row, &score);
    written = status == SLIDECELL_OK ? printf("%.9g\n", (double)score) : 0;
  }
  if (status != SLIDECELL_OK) {
    fprintf(stderr, "line %lld: %s\n", (long long)line, slidecell_last_error());
    return 0;
  }
  slidecell_stream_advance(live->stream); /* while the next line is still on its way */
  return written > 0 && fflush(stdout) == 0;
}

/* A row [F] without a value. */
static void set_missing(double* row, int64_t F) {
  int64_t f;
  for (f = 0; f < F; ++f) row[f] = strtod("nan", NULL);
}

static int append_missing(struct series* series, double* row, int64_t F, int64_t count) {
  set_missing(row, F);
  while (count > 0 && append(series, row, F)) --count;
  return count == 0;
}

/* Answers each line, or keeps it in the series where nothing is live. */
static int read_rows(const slidecell_model* model, struct columns* columns, const struct live* live,
                     struct series* series) {
  static char line[LINE_SIZE];
  static char* fields[MAX_FIELDS];
  double* row = malloc((size_t)columns->F * sizeof *row);
  int ok = row != NULL;
  int64_t number = 0, rows = 0, blank = 0; /* blank: lines since the last row */
  while (ok && fgets(line, sizeof line, stdin)) {
    int64_t n;
    ++number;
    if (!strchr(line, '\n') && !feof(stdin)) {
      fprintf(stderr, "line %lld: longer than %d bytes\n", (long long)number, LINE_SIZE - 1);
      ok = 0;
      break;
    }
    if (number == 1 && strncmp(line, kMark, strlen(kMark)) == 0) {
      memmove(line, line + strlen(kMark), strlen(line + strlen(kMark)) + 1);
    }
    if (line[strspn(line, kSpace)] == '\0') {
      if (rows == 0) continue;
      if (live) {
        set_missing(row, columns->F);
        ok = answer(live, row, number);
      } else {
        ++blank;
      }
      continue;
    }
    n = split(line, fields);
    if (number == 1 && is_header(fields, n)) {
      ok = match_names(model, fields, n, columns);
    } else {
      ok = live || append_missing(series, row, columns->F, blank);
      blank = 0;
      ++rows;
      ok = ok && read_row(columns, fields, n, number, row) &&
           (live ? answer(live, row, number) : append(series, row, columns->F));
    }
  }
  free(row);
  return ok;
}

static int fail(void) {
  fprintf(stderr, "%s\n", slidecell_last_error());
  return 0;
}

/* The scores that the model file's threshold is for. */
static slidecell_options options_of(const slidecell_model* model) {
  slidecell_options options = {0};
  const int32_t own = slidecell_model_reduction(model);
  if (own >= 0) options.reduction = own;
  return options;
}

static int score_live(const slidecell_model* model, struct columns* columns, int alarms) {
  struct live live = {NULL, NULL};
  const slidecell_options options = options_of(model);
  int ok;
  if (alarms) {
    if (slidecell_monitor_create(model, 1, NULL, &live.monitor) != SLIDECELL_OK) return fail();
    live.stream = slidecell_monitor_stream(live.monitor);
  } else if (slidecell_stream_create(model, 1, &options, &live.stream) != SLIDECELL_OK) {
    return fail();
  }
  ok = read_rows(model, columns, &live, NULL);
  if (!alarms) slidecell_stream_free(live.stream);
  slidecell_monitor_free(live.monitor);
  return ok;
}

static int score_batch(const slidecell_model* model, struct columns* columns) {
  struct series series = {NULL, 0, 0};
  const slidecell_options options = options_of(model);
  float* scores = NULL;
  int64_t r;
  int ok = read_rows(model, columns, NULL, &series);
  if (ok && series.num_rows > 0) {
    scores = malloc((size_t)series.num_rows * sizeof *scores);
    ok = scores != NULL;
  }
  if (ok && slidecell_score_f64(model, series.values, series.num_rows, NULL, 0, &options, scores) !=
                SLIDECELL_OK) {
    ok = fail();
  }
  for (r = 0; ok && r < series.num_rows; ++r) ok = printf("%.9g\n", (double)scores[r]) > 0;
  free(scores);
  free(series.values);
  return ok && fflush(stdout) == 0;
}

int main(int argc, char** argv) {
  slidecell_model* model = NULL;
  struct columns columns = {NULL, 0, 0};
  const int live = argc == 3 && strcmp(argv[2], "--live") == 0;
  const int alarms = argc == 3 && strcmp(argv[2], "--alarms") == 0;
  int64_t f;
  int ok;
  if (argc < 2 || argc > 3 || (argc == 3 && !live && !alarms)) {
    fprintf(stderr, "slidecell %s\nusage: %s MODEL [--live | --alarms] < rows\n",
            slidecell_version(), argv[0]);
    return 1;
  }
  if (slidecell_model_load(argv[1], &model) != SLIDECELL_OK) {
    fail();
    return 1;
  }
  columns.F = columns.num_fields = slidecell_model_input_size(model);
  columns.field = malloc((size_t)columns.F * sizeof *columns.field);
  ok = columns.field != NULL;
  for (f = 0; ok && f < columns.F; ++f) columns.field[f] = f;
  if (ok) ok = live || alarms ? score_live(model, &columns, alarms) : score_batch(model, &columns);
  free(columns.field);
  slidecell_model_free(model);
  return ok ? 0 : 1;
}
