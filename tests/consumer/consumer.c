/* consumer_c MODEL ROWS SCORES: as consumer.cpp, through the C interface. */
#include <slidecell/slidecell.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FLOATS = 1 << 16 };

static size_t read_floats(const char* path, float* values) {
  FILE* file = fopen(path, "rb");
  size_t n;
  if (!file) return 0;
  n = fread(values, sizeof *values, MAX_FLOATS, file);
  fclose(file);
  return n;
}

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, slidecell_last_error());
  return 1;
}

static int differ(float a, float b) { return memcmp(&a, &b, sizeof a) != 0 && !(a != a && b != b); }

int main(int argc, char** argv) {
  static float rows[MAX_FLOATS], expected[MAX_FLOATS], scores[MAX_FLOATS];
  static double wide[MAX_FLOATS]; /* the rows as double */
  slidecell_model* model = NULL;
  slidecell_stream* stream = NULL;
  slidecell_monitor* monitor = NULL;
  int64_t F, S, s;
  if (argc != 4) return 2;
  if (slidecell_model_load(argv[1], &model) != SLIDECELL_OK) return fail("load");
  F = slidecell_model_input_size(model);
  S = (int64_t)read_floats(argv[3], expected);
  if (S == 0 || (int64_t)read_floats(argv[2], rows) != S * F) return fail("input files");
  if (slidecell_score(model, rows, S, NULL, 0, NULL, scores) != SLIDECELL_OK) return fail("score");
  for (s = 0; s < S * F; ++s) wide[s] = (double)rows[s];
  if (slidecell_score_f64(model, wide, S, NULL, 0, NULL, scores) != SLIDECELL_OK) {
    return fail("score of double rows");
  }
  if (slidecell_monitor_create(model, 1, NULL, &monitor) != SLIDECELL_OK) return fail("monitor");
  if (slidecell_stream_create(model, 1, NULL, &stream) != SLIDECELL_OK) return fail("stream");
  for (s = 0; s < S; ++s) {
    float score = 0.0f;
    slidecell_event event;
    if (differ(scores[s], expected[s])) return fail("score differs");
    if (slidecell_stream_push(stream, 0, rows + s * F, &score) != SLIDECELL_OK) return fail("push");
    if (differ(score, expected[s])) return fail("the stream's score differs");
    if (slidecell_monitor_push_f64(monitor, 0, wide + s * F, &event) != SLIDECELL_OK) {
      return fail("push to the monitor");
    }
    if (differ(event.score, expected[s]) || event.alarm) return fail("the monitor's event differs");
  }
  slidecell_monitor_free(monitor);
  slidecell_stream_free(stream);
  slidecell_model_free(model);
  if (slidecell_model_load("/no/such/file", &model) != SLIDECELL_IO_ERROR) return fail("no error");
  if (!strstr(slidecell_last_error(), "/no/such/file")) return fail("no error text");
  puts("ok");
  return 0;
}
