// consumer_cpp MODEL ROWS SCORES: scores the rows (raw float32, [S, F]) as a batch and as a stream;
// fails unless both are the given scores (raw float32, [S]) bit for bit.
#include <slidecell/slidecell.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<float> read_floats(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values;
  float value = 0.0f;
  while (file.read(reinterpret_cast<char*>(&value), sizeof value)) values.push_back(value);
  return values;
}

void check_same(const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) throw std::runtime_error("as many scores as rows");
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(expected[i])) continue;
    if (std::memcmp(&got[i], &expected[i], sizeof(float)) != 0) {
      throw std::runtime_error("row " + std::to_string(i) + ": expected " +
                               std::to_string(expected[i]) + ", got " + std::to_string(got[i]));
    }
  }
}

// The library's exceptions are caught by their own types.
bool refuses(const char* path) {
  try {
    slidecell::SequenceModel::load(path);
  } catch (const slidecell::IoError&) {
    return true;
  }
  return false;
}

bool refuses_isa() {
  try {
    slidecell::set_isa("none");
  } catch (const slidecell::UnsupportedError&) {
    return true;
  }
  return false;
}

void run(const char* model_path, const char* rows_path, const char* scores_path) {
  const auto model = slidecell::SequenceModel::load(model_path);
  const std::vector<float> rows = read_floats(rows_path), expected = read_floats(scores_path);
  const auto S = static_cast<std::int64_t>(expected.size());
  const slidecell::SeriesView series(rows.data(), S, model.input_size());

  std::vector<float> scores(expected.size());
  model.score(series, {}, scores.data());
  check_same(scores, expected);

  slidecell::Stream stream(model, 1);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const float* row = rows.data() + static_cast<std::int64_t>(s) * model.input_size();
    if (stream.push(0, row, scores[s]) != slidecell::Status::ok) throw std::runtime_error("push");
  }
  check_same(scores, expected);

  const std::vector<double> wide(rows.begin(), rows.end());
  slidecell::Monitor monitor(model, 1);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const double* row = wide.data() + static_cast<std::int64_t>(s) * model.input_size();
    slidecell::Event event;
    if (monitor.push(0, row, event) != slidecell::Status::ok) throw std::runtime_error("push");
    scores[s] = event.score;
  }
  check_same(scores, expected);

  if (!refuses("/no/such/file") || !refuses_isa()) throw std::runtime_error("no exception");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  std::puts("ok");
  return 0;
}
