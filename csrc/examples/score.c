/* Scores rows from stdin through the C interface: slidecell_score_c MODEL [--live] < rows.txt
 *
 * A line is a row: numbers with commas between them, "nan" for a missing value. Prints a
 * score per row, "nan" where it has none: after the last row, or with --live after each row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slidecell/slidecell.h"

enum { LINE_SIZE = 1 << 16 };

struct series {
  float* values; /* [num_rows, F] */
  int64_t num_rows, capacity;
};

/* Reads one row [F] from a line; 0 and a message if the line is anything else. */
static int read_row(const char* line, int64_t number, float* row, int64_t F) {
  const char* at = line;
  int64_t f;
  for (f = 0; f < F; ++f) {
    char* end = NULL;
    const char* next;
    row[f] = strtof(at, &end);
    next = end + strspn(end, " \t\r\n");
    if (end == at || *next != (f + 1 < F ? ',' : '\0')) {
      fprintf(stderr, "line %lld: value %lld of %lld: expected a number, got '%.*s'\n",
              (long long)number, (long long)(f + 1), (long long)F, (int)strcspn(at, "\r\n"), at);
      return 0;
    }
    at = next + 1;
  }
  return 1;
}

static int append(struct series* series, const float* row, int64_t F) {
  if (series->num_rows == series->capacity) {
    const int64_t capacity = series->capacity > 0 ? 2 * series->capacity : 1024;
    float* grown = realloc(series->values, (size_t)(capacity * F) * sizeof *grown);
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

/* Pushes each line to the stream, or keeps it in the series where there is no stream. */
static int read_rows(int64_t F, slidecell_stream* stream, struct series* series) {
  static char line[LINE_SIZE];
  float* row = malloc((size_t)F * sizeof *row);
  int ok = row != NULL;
  int64_t number = 0;
  while (ok && fgets(line, sizeof line, stdin)) {
    float score = 0.0f;
    ++number;
    if (!strchr(line, '\n') && !feof(stdin)) {
      fprintf(stderr, "line %lld: longer than %d bytes\n", (long long)number, LINE_SIZE - 1);
      ok = 0;
    } else if (line[strspn(line, " \t\r\n")] != '\0') {
      ok = read_row(line, number, row, F);
      if (ok && !stream) {
        ok = append(series, row, F);
      } else if (ok && slidecell_stream_push(stream, 0, row, &score) != SLIDECELL_OK) {
        fprintf(stderr, "line %lld: %s\n", (long long)number, slidecell_last_error());
        ok = 0;
      } else if (ok) {
        ok = printf("%.9g\n", (double)score) > 0 && fflush(stdout) == 0;
        slidecell_stream_advance(stream);
      }
    }
  }
  free(row);
  return ok;
}

static int score_live(const slidecell_model* model) {
  slidecell_stream* stream = NULL;
  int ok;
  if (slidecell_stream_create(model, 1, NULL, &stream) != SLIDECELL_OK) {
    fprintf(stderr, "%s\n", slidecell_last_error());
    return 0;
  }
  ok = read_rows(slidecell_model_input_size(model), stream, NULL);
  slidecell_stream_free(stream);
  return ok;
}

static int score_batch(const slidecell_model* model) {
  struct series series = {NULL, 0, 0};
  float* scores = NULL;
  int64_t r;
  int ok = read_rows(slidecell_model_input_size(model), NULL, &series);
  if (ok && series.num_rows > 0) {
    scores = malloc((size_t)series.num_rows * sizeof *scores);
    ok = scores != NULL;
  }
  if (ok && slidecell_score(model, series.values, series.num_rows, NULL, 0, NULL, scores) !=
                SLIDECELL_OK) {
    fprintf(stderr, "%s\n", slidecell_last_error());
    ok = 0;
  }
  for (r = 0; ok && r < series.num_rows; ++r) ok = printf("%.9g\n", (double)scores[r]) > 0;
  free(scores);
  free(series.values);
  return ok && fflush(stdout) == 0;
}

int main(int argc, char** argv) {
  slidecell_model* model = NULL;
  const int live = argc == 3 && strcmp(argv[2], "--live") == 0;
  int ok;
  if (argc < 2 || argc > 3 || (argc == 3 && !live)) {
    fprintf(stderr, "slidecell %s\nusage: %s MODEL [--live] < rows\n", slidecell_version(),
            argv[0]);
    return 1;
  }
  if (slidecell_model_load(argv[1], &model) != SLIDECELL_OK) {
    fprintf(stderr, "%s\n", slidecell_last_error());
    return 1;
  }
  ok = live ? score_live(model) : score_batch(model);
  slidecell_model_free(model);
  return ok ? 0 : 1;
}
